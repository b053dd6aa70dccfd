/// The certified log (registro): how long its rows are kept, when they are sealed and stamped, and where its holders ask for extracts
/// (RFC 6109 §2.3, `pec-rules` chapter 9).
public struct CertifiedLogSettings: Sendable, Equatable {
  /// Months that rows are kept; the law asks for 30.
  public var retentionMonths: Int
  /// Days more before rows are removed, so that a question of the last day still finds them.
  public var marginDays: Int
  /// A seal is made when so many rows wait for one.
  public var sealEveryRows: Int
  /// Legal time at which each day's rows are sealed, however few.
  public var sealDailyAt: TimeOfDay
  /// Mailbox, in one of the provider's domains, to which holders write for extracts; nil: requests are not taken by mail.
  public var extractAddress: String?
  /// Who stamps the seals.
  public var timeStamps: TimeStampSettings

  /// The months that the law asks for, a month more, and a seal each night, unless said otherwise.
  public init(
    retentionMonths: Int = 30, marginDays: Int = 31, sealEveryRows: Int = 100_000, sealDailyAt: TimeOfDay = TimeOfDay(hour: 0, minute: 10),
    extractAddress: String? = nil, timeStamps: TimeStampSettings = TimeStampSettings()
  ) {
    self.retentionMonths = retentionMonths
    self.marginDays = marginDays
    self.sealEveryRows = sealEveryRows
    self.sealDailyAt = sealDailyAt
    self.extractAddress = extractAddress
    self.timeStamps = timeStamps
  }
}

/// A minute of the day, as clocks on the wall show it.
public struct TimeOfDay: Sendable, Hashable, CustomStringConvertible {
  /// 0 to 23.
  public var hour: Int
  /// 0 to 59.
  public var minute: Int

  /// A minute of the day.
  public init(hour: Int, minute: Int) {
    self.hour = hour
    self.minute = minute
  }

  /// Reads `00:10`; nil for anything that is no time.
  public init?(_ text: String) {
    let octets = Array(text.utf8)
    guard octets.count == 5, octets[2] == UInt8(ascii: ":"), (octets[0...1] + octets[3...4]).allSatisfy({ $0 &- 48 < 10 }) else {
      return nil
    }
    let hour = Int(octets[0] - 48) * 10 + Int(octets[1] - 48)
    let minute = Int(octets[3] - 48) * 10 + Int(octets[4] - 48)
    guard hour < 24, minute < 60 else { return nil }
    self.init(hour: hour, minute: minute)
  }

  /// Seconds from midnight, on a day of 24 hours.
  public var secondsOfDay: Int { hour * 3600 + minute * 60 }

  /// `00:10`.
  public var description: String { "\(hour < 10 ? "0" : "")\(hour):\(minute < 10 ? "0" : "")\(minute)" }
}

/// Time stamps (marche temporali, RFC 3161) over the log's seals.
public struct TimeStampSettings: Sendable, Equatable {
  /// The authorities that are asked, in this order, until one answers; none: seals go unstamped, which is an alarm.
  public var authorities: [TimeStampAuthoritySettings]
  /// Seconds that an authority may take to answer.
  public var timeoutSeconds: Int
  /// Seconds that the time in a stamp may differ from our clock.
  public var toleranceSeconds: Int
  /// A stamp is renewed (RFC 4998) so many days before the certificate that vouches for it ends.
  public var renewalDays: Int

  /// No authority; 20 s for an answer, 60 s between clocks and 90 days for a renewal, unless said otherwise.
  public init(
    authorities: [TimeStampAuthoritySettings] = [], timeoutSeconds: Int = 20, toleranceSeconds: Int = 60, renewalDays: Int = 90
  ) {
    self.authorities = authorities
    self.timeoutSeconds = timeoutSeconds
    self.toleranceSeconds = toleranceSeconds
    self.renewalDays = renewalDays
  }
}

/// A time-stamping authority (TSA) that answers over HTTP (RFC 3161 §3.4).
public struct TimeStampAuthoritySettings: Sendable, Equatable {
  /// `https://…` or `http://…`: a stamp is signed, so TLS adds nothing to what it proves.
  public var url: String
  /// PEM file of the authorities that vouch for its certificate.
  public var caFile: String
  /// Who we are to it (HTTP basic authentication), only with https; nil: it asks nobody.
  public var user: String?
  /// A file whose first line is the password.
  public var passwordFile: String?
  /// The policy that is asked for, an object identifier such as `1.3.76.36.1.1.40`; nil: the authority's own choice.
  public var policy: String?

  /// An authority that knows nobody and chooses its policy itself, unless said otherwise.
  public init(url: String, caFile: String, user: String? = nil, passwordFile: String? = nil, policy: String? = nil) {
    self.url = url
    self.caFile = caFile
    self.user = user
    self.passwordFile = passwordFile
    self.policy = policy
  }
}

/// How well this machine's clock must keep UTC for anything to be certified (DM 2-11-2005 art. 9: one second, stably).
public struct ClockSettings: Sendable, Equatable {
  /// Whether a clock that nobody sets right may certify.
  public enum Synchronization: String, Sendable, CaseIterable {
    /// Nothing is certified while the kernel says that no time service keeps the clock.
    case required
    /// It is said, and the gateway goes on: for machines of a laboratory.
    case warn
  }

  /// Milliseconds off UTC beyond which nothing is certified.
  public var limitMilliseconds: Int
  public var synchronization: Synchronization

  /// A second, and a time service that must be there, unless said otherwise.
  public init(limitMilliseconds: Int = 1000, synchronization: Synchronization = .required) {
    self.limitMilliseconds = limitMilliseconds
    self.synchronization = synchronization
  }
}
