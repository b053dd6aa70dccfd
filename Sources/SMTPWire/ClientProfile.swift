/// What a client machine is to a next hop: the same for all connections to it.
public struct ClientProfile: Sendable {
  /// The protocol that is spoken.
  public enum Kind: Sendable {
    case smtp
    /// RFC 2033: LHLO, and one reply for each recipient after the message.
    case lmtp
  }

  /// When TLS is begun by STARTTLS (RFC 3207).
  public enum TLSPolicy: Sendable {
    case never
    /// When it is offered; in the clear otherwise.
    case opportunistic
    /// Always; without it nothing is delivered.
    case required
  }

  /// For AUTH PLAIN (RFC 4616); sent over TLS only.
  public struct Credentials: Sendable, Equatable {
    public var login: String
    public var password: String
    /// A name and its password, in UTF-8.
    public init(login: String, password: String) {
      self.login = login
      self.password = password
    }
  }

  public var kind: Kind
  /// The name given with EHLO: a fully qualified domain name, or an address literal.
  public var heloName: String
  public var tls: TLSPolicy
  /// True when the connection is inside TLS from its first octet (RFC 8314 §3.3).
  public var startsSecure: Bool
  public var credentials: Credentials?
  /// Whether PIPELINING is used when it is offered.
  public var usesPipelining = true
  /// Whether CHUNKING is used when it is offered.
  public var usesChunking = true

  /// A next hop; `startsSecure` for TLS from the first octet.
  public init(
    kind: Kind = .smtp, heloName: String, tls: TLSPolicy = .opportunistic, startsSecure: Bool = false, credentials: Credentials? = nil
  ) {
    self.kind = kind
    self.heloName = heloName
    self.tls = tls
    self.startsSecure = startsSecure
    self.credentials = credentials
  }
}

/// One message for one next hop.
public struct DeliveryJob: Sendable, Equatable {
  /// The reverse path without angle brackets; empty for `<>`.
  public var sender: String
  /// Forward paths without angle brackets.
  public var recipients: [String]
  /// Octets of the message, exactly: CHUNKING announces them.
  public var bodyBytes: Int
  /// True when any octet of the message is above 127. `BODY=8BITMIME` says so to a next hop that knows it. To another the octets go
  /// all the same: what is signed cannot be converted, and refusing it would lose mail that every server of today passes on.
  public var hasEightBit: Bool
  /// What the next hop is asked to report; nil to ask for nothing.
  public var notification: DeliveryNotification?

  /// A message; addresses as they stand in the envelope, without angle brackets.
  public init(
    sender: String, recipients: [String], bodyBytes: Int, hasEightBit: Bool = false, notification: DeliveryNotification? = nil
  ) {
    self.sender = sender
    self.recipients = recipients
    self.bodyBytes = bodyBytes
    self.hasEightBit = hasEightBit
    self.notification = notification
  }
}

/// A request for reports of delivery and of failure (DSN, RFC 3461), with the header of the message in them and each recipient as
/// it was given as the original one. A next hop that does not announce DSN could prove nothing: the job is put off.
public struct DeliveryNotification: Sendable, Equatable {
  /// What reports call the message: printable ASCII and spaces, 1 to 100 octets as xtext (RFC 3461 §4.4).
  public var envelopeID: String

  /// A request under an envelope id.
  public init(envelopeID: String) { self.envelopeID = envelopeID }
}

/// What became of one recipient of a job.
public struct RecipientOutcome: Sendable, Equatable {
  /// Whether the message is there, may get there, or will not.
  public enum Verdict: Sendable, Equatable {
    /// The next hop has taken the responsibility.
    case delivered(Reply)
    /// To be tried again later.
    case transient(Reply)
    /// It will not be delivered.
    case permanent(Reply)
    /// The next hop had the whole message and may have delivered it: its reply did not come.
    case unanswered(Reply)

    /// The reply it rests on: the next hop's, or one of our own making where there was none.
    public var reply: Reply {
      switch self {
      case .delivered(let reply), .transient(let reply), .permanent(let reply), .unanswered(let reply): reply
      }
    }
  }

  /// As in the job.
  public var recipient: String
  public var verdict: Verdict

  /// An outcome; sessions make their own when no connection came about.
  public init(recipient: String, verdict: Verdict) {
    self.recipient = recipient
    self.verdict = verdict
  }
}

/// How a body is to be sent.
public enum BodyFraming: Sendable, Equatable {
  /// With dots stuffed in (`DotStuffing.cuts`); the machine sends the final dot.
  case dotStuffed
  /// As it is, `DeliveryJob.bodyBytes` octets (RFC 3030).
  case chunk
}

/// Why a connection is of no more use.
public enum ClientClosure: Sendable, Equatable {
  /// The next hop would not begin: greeting, EHLO, AUTH or RSET were refused.
  case refused(Reply)
  /// It said 421, and closes.
  case closedByPeer(Reply)
  /// It said something that is no SMTP, or not its turn.
  case violation(String)
  /// TLS is required, and not to be had.
  case tlsUnavailable
  /// There are credentials, and AUTH PLAIN is not to be had.
  case authenticationUnavailable
  /// The connection broke.
  case connectionLost
  /// The next hop was silent.
  case timeout
  /// The session gave it up; why.
  case abandoned(String)
  /// After QUIT.
  case quit

  /// The reply that open recipients are given: what the next hop said, or our own words.
  public var reply: Reply {
    switch self {
    case .refused(let reply), .closedByPeer(let reply): reply
    case .violation(let what): Reply(451, "4.5.0", "The next hop broke the protocol: \(what)")
    case .tlsUnavailable: Reply(451, "4.7.4", "TLS is required and the next hop does not offer it")
    case .authenticationUnavailable: Reply(451, "4.7.0", "Authentication is required and the next hop does not offer it")
    case .connectionLost: Reply(451, "4.4.2", "The connection to the next hop broke")
    case .timeout: Reply(451, "4.4.2", "The next hop did not answer in time")
    case .abandoned(let why): Reply(451, "4.3.0", why)
    case .quit: Reply(451, "4.4.2", "The connection was ended")
    }
  }
}

/// What a client machine asks of its session, one thing at a time.
public enum ClientEvent: Sendable, Equatable {
  /// Nothing to do but to wait for the next hop.
  case needInput
  /// Send these octets.
  case send([UInt8])
  /// What was to be sent before is to be flushed; then TLS is begun as the client, then `tlsEstablished` is called.
  case startTLS
  /// Send the body of the job, then call `bodySent`. What the next hop says meanwhile goes to `receive` all the same.
  case sendBody(BodyFraming)
  /// The job is done; the outcomes are in the order of its recipients. Another may be started.
  case finished([RecipientOutcome])
  /// The connection is ready for a job, and there is none.
  case idle
  /// Close the connection. Outcomes of an open job were given before.
  case closed(ClientClosure)
}
