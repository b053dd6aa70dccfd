import Limits

/// What a server machine is to its clients: the same for all sessions of a listener.
public struct ServerProfile: Sendable {
  /// Whom the listener serves, and what must come before MAIL.
  public enum Trust: Sendable, Equatable {
    /// Message submission (RFC 6409): AUTH before MAIL, TLS before AUTH. `implicitTLS` as on port 465 (RFC 8314 §3.3),
    /// else STARTTLS as on port 587 (RFC 3207).
    case submission(implicitTLS: Bool)
    /// A mail server that has authenticated the user itself; plain SMTP with XCLIENT. The user is XCLIENT's LOGIN, or the
    /// reverse path of each MAIL when `userFromMailFrom` and there is no LOGIN.
    case trustedPeer(userFromMailFrom: Bool)
    /// Anybody, as on port 25: no AUTH, STARTTLS at choice, 8BITMIME. Bodies may have long lines, NUL and octets above 127 whatever
    /// BODY= says, as mail of the Internet has; a bare CR or LF they may not.
    case incoming
  }

  /// The name in the greeting and in the answers to EHLO.
  public var hostname: String
  public var trust: Trust
  /// Octets of a message above which it is refused; announced by SIZE (RFC 1870).
  public var sizeLimitBytes: Int
  public var limits: CommandLimits
  /// Octets of a line of a message without its CRLF above which it is refused (RFC 5322 §2.1.1: 998); nil for any.
  public var lineLimitBytes: Int?
  /// Whether STARTTLS is announced while the connection is in the clear.
  public var offersStartTLS: Bool
  /// 8BITMIME (RFC 6152). Off at submission, so that a sending server converts to 7 bit by itself.
  public var offersEightBit: Bool
  /// CHUNKING (RFC 3030).
  public var offersChunking = true
  /// PIPELINING (RFC 2920). Commands in groups are understood in any case.
  public var offersPipelining = true
  /// Whether this session's peer may say who its client is, by XCLIENT without LOGIN and by XFORWARD. A trusted peer may in any case.
  public var hearsForwarding = false

  /// - Parameters:
  ///   - hostname: a fully qualified domain name.
  ///   - sizeLimitBytes: octets of a message at the most; `MessageLimits.maximumBytes`.
  ///   - startTLSAvailable: nil for the usual: at submission without implicit TLS.
  public init(
    hostname: String, trust: Trust, sizeLimitBytes: Int = MessageLimits().maximumBytes, limits: CommandLimits = CommandLimits(),
    startTLSAvailable: Bool? = nil
  ) {
    self.hostname = hostname
    self.trust = trust
    self.sizeLimitBytes = sizeLimitBytes
    self.limits = limits
    self.offersStartTLS = startTLSAvailable ?? (trust == .submission(implicitTLS: false))
    self.offersEightBit = trust == .incoming
    self.lineLimitBytes = trust == .incoming ? nil : MessageLimits().lineBytes
  }

  /// True when the clients are users who must say who they are by AUTH.
  var asksForAuthentication: Bool {
    switch trust {
    case .submission: true
    case .trustedPeer, .incoming: false
    }
  }

  /// True when XCLIENT names the user too.
  var trustsPeer: Bool {
    switch trust {
    case .trustedPeer: true
    case .submission, .incoming: false
    }
  }

  /// True when XCLIENT and XFORWARD are heard.
  var believesPeer: Bool { trustsPeer || hearsForwarding }
}

/// A SASL mechanism that is offered (RFC 4954).
public enum SASLMechanism: String, Sendable, CaseIterable {
  /// RFC 4616.
  case plain = "PLAIN"
  /// The obsolete one of old clients: name and password one after the other.
  case login = "LOGIN"
}

/// What came of an AUTH attempt; the session's answer to `ServerEvent.authenticate`.
public enum AuthenticationAnswer: Sendable, Equatable {
  /// The name and password hold; `user` is the name the session goes on under.
  case accepted(user: String)
  case rejected
  /// It could not be found out; 454.
  case temporaryFailure
}

/// A parameter of MAIL (RFC 5321 §4.1.1.11), keyword in capitals.
public struct ESMTPParameter: Sendable, Equatable {
  public var keyword: String
  /// nil when there was no "=".
  public var value: String?
}

/// MAIL FROM, syntactically right.
public struct MailCommand: Sendable, Equatable {
  /// What BODY= says (RFC 6152 §2).
  public enum Body: Sendable { case sevenBit, eightBitMIME }

  /// The reverse path without angle brackets and source route; empty for `<>`.
  public var path: String
  /// The user in whose name it comes: authenticated by AUTH, named by XCLIENT's LOGIN, or the path itself where the listener is
  /// configured so. nil for nobody (port 25).
  public var user: String?
  /// SIZE= (RFC 1870 §6.1), octets; not above the limit.
  public var declaredBytes: Int?
  public var body: Body = .sevenBit
  /// All parameters as they came.
  public var parameters: [ESMTPParameter] = []
}

/// RCPT TO, syntactically right.
public struct RecipientCommand: Sendable, Equatable {
  /// The forward path without angle brackets and source route.
  public var path: String
  /// True for `<Postmaster>` without a domain, which every server must know (RFC 5321 §4.5.1).
  public var isBarePostmaster: Bool
}

/// Why a body is refused while it arrives.
public enum BodyFault: Sendable, Equatable {
  /// A CR that no LF follows (RFC 5321 §2.3.8).
  case bareCarriageReturn
  /// A LF that no CR precedes (RFC 5321 §2.3.8): the stuff SMTP smuggling is made of.
  case bareLineFeed
  /// A line over the profile's limit, 998 octets without its CRLF (RFC 5321 §4.5.3.1.6).
  case lineTooLong
  /// More octets than the profile's limit (RFC 1870 §6.3).
  case tooLarge

  /// What the client is told when the body has been swallowed.
  var reply: Reply {
    switch self {
    case .bareCarriageReturn: Reply(550, "5.6.0", "Bare CR in message: lines end in CR LF (RFC 5321 section 2.3.8)")
    case .bareLineFeed: Reply(550, "5.6.0", "Bare LF in message: lines end in CR LF (RFC 5321 section 2.3.8)")
    case .lineTooLong: Reply(550, "5.6.0", "Line longer than 998 octets in message (RFC 5322 section 2.1.1)")
    case .tooLarge: Reply(552, "5.3.4", "Message size exceeds fixed maximum message size")
    }
  }
}

/// What a trusted peer said about its client by XCLIENT; nil for what is unavailable or was not said.
public struct ForwardedClient: Sendable, Equatable {
  public var name: String?
  /// IPv4, or IPv6 without the `IPv6:` prefix, in its usual spelling.
  public var address: String?
  public var port: Int?
  /// `SMTP` or `ESMTP`.
  public var proto: String?
  public var helo: String?
  /// The SASL login name of the user.
  public var login: String?
  /// True when the peer said that there is no login: then nobody speaks in anybody's name.
  public var saysNoLogin = false
  public var destinationAddress: String?
  public var destinationPort: Int?
  public init() {}
}

/// What a server machine tells its session, one thing for each `step`.
public enum ServerEvent: Sendable, Equatable {
  /// All input is consumed; more is wanted.
  case needInput
  /// An answer is due, or `tlsStarted`; nothing is consumed meanwhile.
  case awaiting
  /// Name and password, over TLS. Answer with `answerAuthentication`.
  case authenticate(login: String, password: String, mechanism: SASLMechanism)
  /// Answer with `answer`: 2xx opens the transaction.
  case mail(MailCommand)
  /// Answer with `answer`: 2xx counts the recipient in.
  case recipient(RecipientCommand)
  /// DATA, or the first BDAT. Answer with `answer`: `.startInput` lets the body come, 4xx and 5xx end the transaction.
  /// `expectedBytes`: exact for a single BDAT, what SIZE= said otherwise.
  case bodyBegins(expectedBytes: Int?)
  /// Octets of the input of this very step that belong to the message, dot-stuffing undone. The next piece follows on them.
  case body(Range<Int>)
  /// The message is complete. Answer with `answer`; only with a 2xx has the gateway taken it.
  case bodyEnds
  /// The body is refused: drop what was gathered. The machine swallows the rest and replies by itself; the transaction is over.
  /// It may come before `bodyBegins`, when a BDAT says at once that it is too large.
  case bodyFault(BodyFault)
  /// RSET, EHLO, HELO, STARTTLS or QUIT in mid transaction: drop it.
  case transactionReset
  /// 220 is in the output: flush it, begin TLS, then call `tlsStarted`. Plain octets after the command were thrown away.
  case startTLS
  /// A trusted peer told about its client; the machine has replied and begins anew.
  case forwarded(ForwardedClient)
  /// Flush the output and close. An open transaction is void.
  case hangUp
}

/// What a session is waiting for; it picks the timeout by it.
public enum ServerWait: Sendable, Equatable {
  /// A command, or a line of an AUTH exchange (RFC 5321 §4.5.3.2.7).
  case command
  /// Octets of a body (RFC 5321 §4.5.3.2.5).
  case body
  /// The session's own answer.
  case answer
  /// The TLS handshake.
  case handshake
  /// Nothing: the connection is to be closed.
  case nothing
}
