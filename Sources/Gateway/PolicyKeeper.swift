import Limits
import Logging
import MailRouting
import NameResolution
import Octets
import Synchronization
import Threading
import WebFetch

/// The policies of MTA-STS that domains have published (RFC 8461): fetched when their id changes, and kept over restarts for as long as
/// they say, so that who suppresses the answer to a question later gains nothing (§10.2).
///
/// Fetching waits for strangers' servers, so it is done on threads of its own, and who needs nothing fetched does not wait for them.
final class PolicyKeeper: Sendable {
  /// What is known of a domain.
  private struct Known {
    var kept: KeptPolicy?
    /// Unix seconds before which it is not asked for again, under this id.
    var notBefore: Int64 = 0
    var failedID = ""

    /// Whether the policy under this id has to be fetched: it is another one, or has not been looked at for a day (RFC 8461 §3.3).
    func wantsFetch(_ id: String, _ now: Int64, _ limits: ExchangeLimits) -> Bool {
      if failedID == id, now < notBefore { return false }
      guard let kept, kept.id == id else { return true }
      return now - kept.fetchedAt >= Int64(limits.policyRefreshSeconds)
    }
  }

  private struct Wish: Sendable {
    var domain: String
    var id: String
    var caFile: String?
    var then: @Sendable (TransportPolicy?) -> Void
  }

  private let folder: PolicyFolder
  private let resolver: NameResolver
  private let limits: ExchangeLimits
  private let allows: @Sendable (String) -> Bool
  private let logger: Logger
  private let wishes = Handoff<Wish>()
  private let known = Mutex<[String: Known]>([:])
  private let threads = Mutex<[WorkerThread]>([])

  /// Threads that fetch: as many domains with a slow policy host keep others waiting.
  private static let threadCount = 8

  /// - Parameter folder: where policies are kept; made when it is not there.
  init(
    folder: String, resolver: NameResolver, limits: ExchangeLimits, allows: @escaping @Sendable (String) -> Bool, logger: Logger
  ) throws {
    self.folder = try PolicyFolder(folder, limits: limits, atMost: limits.policies, at: Clock.now().unixSeconds)
    self.resolver = resolver
    self.limits = limits
    self.allows = allows
    self.logger = logger
    threads.withLock { threads in
      threads = (0..<PolicyKeeper.threadCount).map { number in WorkerThread(name: "mta-sts-\(number)") { self.work() } }
    }
  }

  /// Finds a domain's policy, at once when nothing has to be fetched; `then` is told it, nil when there is none that could be had.
  func find(_ domain: String, id: String?, caFile: String?, then: @escaping @Sendable (TransportPolicy?) -> Void) {
    let now = Clock.now().unixSeconds
    let about = current(domain, now)
    // RFC 8461 §3.1: without a usable record a policy of before holds until it is too old.
    guard let id, about.wantsFetch(id, now, limits) else { return then(about.kept?.policy) }
    if !wishes.send(Wish(domain: domain, id: id, caFile: caFile, then: then)) { then(nil) }
  }

  func finish() {
    wishes.close()
    for thread in threads.withLock({ $0 }) { thread.join() }
  }

  private func work() {
    while let wish = wishes.take(atMost: 1)?.first { wish.then(wishes.isClosed ? nil : policy(for: wish)) }
  }

  /// What is known of a domain, from memory or from its file.
  private func current(_ domain: String, _ now: Int64) -> Known {
    var about = known.withLock { $0[domain] } ?? Known(kept: folder.load(domain))
    if about.kept?.holds(at: now) == false { about.kept = nil }
    remember(about, of: domain)
    return about
  }

  /// Of most domains nothing is known, and that need not be remembered.
  private func remember(_ about: Known, of domain: String) {
    known.withLock { known in
      if known.count >= limits.policies { known.removeAll() }
      known[domain] = about.kept == nil && about.notBefore == 0 ? nil : about
    }
  }

  private func policy(for wish: Wish) -> TransportPolicy? {
    let now = Clock.now().unixSeconds
    var about = current(wish.domain, now)
    do {
      let (octets, policy) = try fetch(wish)
      about = Known(kept: KeptPolicy(id: wish.id, fetchedAt: now, policy: policy))
      // A policy that cannot be kept holds until the end of the process.
      do { try folder.store(wish.domain, wish.id, now, octets) } catch {
        logger.error("an MTA-STS policy cannot be kept", metadata: ["domain": "\(wish.domain)", "reason": "\(error)"])
      }
      logger.info("MTA-STS policy fetched", metadata: ["domain": "\(wish.domain)", "id": "\(wish.id)", "mode": "\(policy.mode.rawValue)"])
    } catch {
      // RFC 8461 §3.3: no policy, or the one of before.
      (about.failedID, about.notBefore) = (wish.id, now + Int64(limits.policyRetrySeconds))
      logger.warning("no MTA-STS policy could be fetched", metadata: ["domain": "\(wish.domain)", "reason": "\(error)"])
    }
    remember(about, of: wish.domain)
    return about.kept?.policy
  }

  // MARK: Fetching

  private struct Unfetched: Error, CustomStringConvertible { var description: String }

  private func fetch(_ wish: Wish) throws -> ([UInt8], TransportPolicy) {
    let host = TransportPolicy.host(of: wish.domain)
    let answers = [resolver.answer(to: DNSQuestion(host, .a)), resolver.answer(to: DNSQuestion(host, .aaaa))]
    let found = HostAddresses.usable(answers, allows: allows)
    guard !found.isEmpty else { throw Unfetched(description: "\(host) has no address that may be asked") }
    var request = WebRequest(
      url: "https://\(host)/.well-known/mta-sts.txt", caFile: wish.caFile, maximumBytes: limits.policyBytes,
      timeoutSeconds: limits.policyTimeoutSeconds)
    // RFC 8461 §3.3: redirects are not followed.
    request.followsRedirects = false
    request.addresses = Array(found.prefix(limits.addressesPerHost))
    let response = try WebFetch.get(request)
    let type = response.contentType.map { ASCII.lowercased($0) } ?? ""
    guard type == "text/plain" || type.hasPrefix("text/plain;") || type.hasPrefix("text/plain ") else {
      throw Unfetched(description: "\(host) answers with the content type '\(type.prefix(60))' instead of text/plain")
    }
    return (response.body, try TransportPolicy(file: response.body, atMost: limits.policyPatterns))
  }
}
