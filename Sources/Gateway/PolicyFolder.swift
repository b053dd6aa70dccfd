import FoundationEssentials
import Limits
import MailRouting
import Octets
import Synchronization

/// A policy of MTA-STS as it was fetched.
struct KeptPolicy: Sendable {
  var id: String
  /// Unix seconds.
  var fetchedAt: Int64
  var policy: TransportPolicy

  func holds(at now: Int64) -> Bool { now < fetchedAt + Int64(policy.maximumAgeSeconds) }
}

/// The folder of the policies: a file for each domain, its policy as it came behind a line with its id and the time of its fetch.
///
/// Anybody can have a domain with a policy, so there is a bound. What is in use is fetched anew each day: the oldest are those that nobody
/// needs, and the others keep what they protect from (RFC 8461 §10.2).
final class PolicyFolder: Sendable {
  private let path: String
  private let limits: ExchangeLimits
  /// Policies that are kept.
  private let most: Int
  /// Policies that are there; whoever writes or removes one holds it.
  private let count = Mutex(0)

  /// Makes the folder when it is not there, and removes from it what is too old, too much or none of ours.
  init(_ path: String, limits: ExchangeLimits, atMost most: Int, at now: Int64) throws {
    self.path = path
    self.limits = limits
    self.most = most
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    count.withLock { $0 = prune(to: most, at: now) }
  }

  private func file(_ domain: String) -> String { "\(path)/\(domain)" }

  /// The policy of a domain; nil when there is none that can be read.
  func load(_ domain: String) -> KeptPolicy? {
    guard let octets = FileManager.default.contents(atPath: file(domain)), octets.count <= limits.policyBytes + 200 else { return nil }
    return PolicyFolder.read([UInt8](octets), limits)
  }

  private static func read(_ octets: [UInt8], _ limits: ExchangeLimits) -> KeptPolicy? {
    guard let end = octets.firstIndex(of: 10) else { return nil }
    let words = String(decoding: octets[..<end], as: UTF8.self).split(separator: " ")
    guard words.count == 2, let fetchedAt = Int64(words[1]), (0...Int64(1) << 40).contains(fetchedAt),
      let policy = try? TransportPolicy(file: Array(octets[(end + 1)...]), atMost: limits.policyPatterns)
    else { return nil }
    return KeptPolicy(id: String(words[0]), fetchedAt: fetchedAt, policy: policy)
  }

  /// Keeps a policy instead of the domain's last one, and when there are too many of them, the oldest no longer.
  func store(_ domain: String, _ id: String, _ now: Int64, _ octets: [UInt8]) throws {
    try count.withLock { count in
      let isNew = !FileManager.default.fileExists(atPath: file(domain))
      try Data(Array("\(id) \(now)\n".utf8) + octets).write(to: URL(filePath: file(domain)), options: .atomic)
      if isNew { count += 1 }
      // Some more than needed, so that not each one that follows has all of them read.
      if count > most { count = prune(to: most - most / 100, at: now) }
    }
  }

  /// Removes what is too old or none of ours, and of the rest the oldest beyond a number; how many are left.
  private func prune(to left: Int, at now: Int64) -> Int {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { return 0 }
    var kept: [(name: String, fetchedAt: Int64)] = []
    var gone: [String] = []
    for name in names {
      if let policy = load(name), policy.holds(at: now) { kept.append((name, policy.fetchedAt)) } else { gone.append(name) }
    }
    kept.sort { ($0.fetchedAt, $0.name) < ($1.fetchedAt, $1.name) }
    gone += kept.dropLast(left).map(\.name)
    for name in gone { try? FileManager.default.removeItem(atPath: file(name)) }
    return min(kept.count, left)
  }
}
