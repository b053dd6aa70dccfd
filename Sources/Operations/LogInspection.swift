import ClockWatch
import Configuration
import Limits
import Signing

// The certified log as `check` sees it: how long it is kept, who stamps it, who may ask, and whether the clock may certify.
extension Inspection {
  /// Looks at what the certified log rests on, without asking anybody.
  mutating func lookAtLog(_ configuration: GatewayConfiguration, clock: ClockReading = .now()) {
    let log = configuration.certifiedLog
    facts.append("certified log: rows are kept for \(log.retentionMonths) months and \(log.marginDays) days")
    facts.append("certified log: sealed each day at \(log.sealDailyAt), and whenever \(log.sealEveryRows) rows wait")
    lookAtTimeStamps(log.timeStamps)
    lookAtExtractAddress(log.extractAddress, configuration.mailboxes)
    lookAtDeadlines(configuration.limits.deadlines)
    lookAtClock(configuration.clock, clock)
  }

  // MARK: Time stamps

  private mutating func lookAtTimeStamps(_ settings: TimeStampSettings) {
    for authority in settings.authorities {
      do {
        let anchors = try TrustAnchors(paths: [authority.caFile])
        let count = anchors.subjects.count == 1 ? "1 certificate" : "\(anchors.subjects.count) certificates"
        facts.append("time stamps: \(authority.url), vouched for by \(count) in \(authority.caFile)")
      } catch { errors.append("time stamps: \(authority.url): \(error)") }
      do { _ = try authority.password() } catch { errors.append("time stamps: \(authority.url): \(error)") }
    }
    switch settings.authorities.count {
    case 0:
      warnings.append(
        "time stamps: NO AUTHORITY IS NAMED, and seals go unstamped: nobody but us then says when a row was there; "
          + "name two with certifiedLog.timeStamps.authorities")
    case 1:
      warnings.append("time stamps: only one authority is named, and seals wait while it fails: name a second one")
    default:
      let hosts = Set(settings.authorities.map { Inspection.host(of: $0.url) })
      if hosts.count == 1, let host = hosts.first {
        warnings.append("time stamps: all authorities are at \(host), and fail together: name one elsewhere")
      }
    }
  }

  /// Between `//` and what comes after the host, a port left out.
  static func host(of url: String) -> String {
    guard let start = url.firstRange(of: "//")?.upperBound else { return url }
    let place = url[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let host = place.hasPrefix("[") ? place.prefix { $0 != "]" }.dropFirst() : place.prefix { $0 != ":" }
    return host.lowercased()
  }

  // MARK: Requests

  private mutating func lookAtExtractAddress(_ address: String?, _ mailboxes: MailboxStore) {
    guard let address else {
      return facts.append("certified log: no certifiedLog.extractAddress: holders' requests for extracts are not taken by mail")
    }
    facts.append("certified log: holders ask for extracts at \(address)")
    // A Maildir we keep ourselves, whoever is in the users file.
    if case .maildir = mailboxes { return }
    warnings.append("certified log: the mailboxes' server has to have a mailbox \(address), where requests are delivered")
  }

  // MARK: Deadlines and clock

  private mutating func lookAtDeadlines(_ deadlines: DeadlineLimits) {
    guard deadlines != DeadlineLimits() else { return }
    warnings.append(
      "deadlines: notices of silence after \(deadlines.firstSeconds) and \(deadlines.secondSeconds) seconds, and not after 12 hours and "
        + "between 22 and 24 (RFC 6109 §3.1.6): remove limits.deadlines")
  }

  private mutating func lookAtClock(_ settings: ClockSettings, _ reading: ClockReading) {
    let isRequired = settings.synchronization == .required
    var judge = ClockJudge(policy: ClockPolicy(limitMilliseconds: settings.limitMilliseconds, requiresSynchronization: isRequired))
    let look = judge.judge(reading)
    switch look.judgement {
    case .trusted where reading.isSynchronized:
      facts.append("clock: \(look.words); the limit is \(settings.limitMilliseconds) ms")
    case .trusted:
      warnings.append(
        "clock: \(look.words); what is certified may bear a wrong time: run chronyd, and write 'clock: { synchronization: required }'")
    case .untrusted(let reason):
      let remedy =
        isRequired && !reading.isSynchronized
        ? "run chronyd, or on a machine for tests write 'clock: { synchronization: warn }'" : "mend it"
      warnings.append("clock: \(reason): NOTHING IS CERTIFIED until it can be trusted; \(remedy)")
    }
  }
}
