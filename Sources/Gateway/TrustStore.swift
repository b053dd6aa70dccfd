import Configuration
import FoundationEssentials
import Limits
import Logging
import Octets
import PEC
import Reception
import Signing
import Synchronization
import WebFetch

/// What signatures of other providers are judged by: authorities, and revocation lists that are refreshed while we run.
final class TrustStore: Sendable {
  /// Whom is trusted, and what revokes: made whole, and exchanged whole.
  struct Holdings: Sendable {
    fileprivate let settings: TrustSettings
    fileprivate let anchors: TrustAnchors
    fileprivate let lists = RevocationLists()
    fileprivate let judge: SignatureJudge

    /// Reads the authorities. Throws when they cannot be read.
    init(_ settings: TrustSettings) throws {
      self.settings = settings
      anchors = try TrustAnchors(paths: settings.authorities)
      judge = SignatureJudge(anchors: anchors, lists: lists)
    }
  }

  private let holdings: Mutex<Holdings>
  private let limits: FetchLimits
  private let cache: String
  private let logger: Logger
  private var settings: TrustSettings { holdings.withLock { $0.settings } }
  private var anchors: TrustAnchors { holdings.withLock { $0.anchors } }
  private var lists: RevocationLists { holdings.withLock { $0.lists } }
  /// The judge; it looks at lists as they are at the time.
  var judge: SignatureJudge { holdings.withLock { $0.judge } }

  /// Reads the authorities, and the lists that are at hand: files, and what was fetched before.
  /// - Parameter cache: folder of fetched lists.
  init(_ settings: TrustSettings, _ limits: FetchLimits, cache: String, logger: Logger) throws {
    self.limits = limits
    self.cache = cache
    self.logger = logger
    holdings = Mutex(try Holdings(settings))
    try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
    loadWhatIsAtHand(holdings.withLock { $0 })
  }

  /// Whether other settings ask for others to be trusted.
  func differs(from settings: TrustSettings) -> Bool { self.settings != settings }

  /// Exchanges authorities and lists. Lists that are at hand are read before anybody judges by the new ones.
  func adopt(_ fresh: Holdings) {
    loadWhatIsAtHand(fresh)
    holdings.withLock { $0 = fresh }
  }

  private func loadWhatIsAtHand(_ holdings: Holdings) {
    for source in holdings.settings.revocationLists {
      let isFetched = TrustSettings.isAddress(source)
      load(file: isFetched ? cachePath(source) : source, named: source, isCopy: isFetched, into: holdings)
    }
  }

  /// Reads lists again: files, and by HTTP what the settings name. Blocks while it fetches. Returns lines for people.
  func refresh(directory: ProviderDirectory, now: Int64) -> [String] {
    var lines: [String] = []
    for source in sources(directory) {
      if TrustSettings.isAddress(source) { lines += fetch(source) } else { lines += load(file: source, named: source) }
    }
    let stale = lists.staleLines(at: now)
    for line in stale { logger.warning("revocation: \(line)") }
    return lines + stale
  }

  /// The revocation lists in numbers.
  func figures(at now: Int64) -> RevocationFigures { lists.figures(at: now) }

  /// What the settings name, and the distribution points of the index's certificates where that is wished.
  private func sources(_ directory: ProviderDirectory) -> [String] {
    var sources = settings.revocationLists
    guard settings.usesDistributionPoints else { return sources }
    for certificate in directory.records.flatMap(\.certificates) {
      guard let facts = CertificateFacts(der: certificate) else { continue }
      for url in facts.revocationListURLs where TrustSettings.isAddress(url) && !sources.contains(url) && sources.count < 200 {
        sources.append(url)
      }
    }
    return sources
  }

  /// The revocation lists as they are at hand, under names of their own: they are kept with each seal of the log.
  func copies() -> [(name: String, octets: [UInt8])] {
    settings.revocationLists.compactMap { source in
      let isFetched = TrustSettings.isAddress(source)
      guard let octets = FileManager.default.contents(atPath: isFetched ? cachePath(source) : source) else { return nil }
      return ("\(Hex.encode(ContentDigest.sha256([Chunk(source)]).prefix(16))).crl", [UInt8](octets))
    }
  }

  private func cachePath(_ source: String) -> String {
    "\(cache)/\(Hex.encode(ContentDigest.sha256([Chunk(source)]).prefix(16))).crl"
  }

  private func fetch(_ url: String) -> [String] {
    do {
      let response = try WebFetch.get(
        WebRequest(url: url, maximumBytes: limits.revocationListBytes, timeoutSeconds: limits.revocationListTimeoutSeconds))
      let lines = try lists.load(response.body, named: url, anchors: anchors)
      // The copy is for the next start without a network; it is verified again when it is read.
      try Data(response.body).write(to: URL(filePath: cachePath(url)), options: .atomic)
      return note(lines)
    } catch {
      logger.warning("revocation list not refreshed: \(url): \(error)")
      return ["\(url): \(error)"]
    }
  }

  @discardableResult
  private func load(file: String, named source: String, isCopy: Bool = false, into holdings: Holdings? = nil) -> [String] {
    let (lists, anchors) = (holdings?.lists ?? self.lists, holdings?.anchors ?? self.anchors)
    guard let octets = FileManager.default.contents(atPath: file) else {
      if isCopy { return [] }
      logger.warning("revocation list not read: \(source): no such file, or not readable")
      return ["\(source): cannot be read"]
    }
    do { return note(try lists.load([UInt8](octets), named: source, anchors: anchors)) } catch {
      logger.warning("revocation list not loaded: \(source): \(error)")
      return ["\(source): \(error)"]
    }
  }

  private func note(_ lines: [String]) -> [String] {
    for line in lines { logger.info("revocation list: \(line)") }
    return lines
  }
}

extension SignatureFindings {
  /// What is judged of a verdict.
  init(_ verdict: SignatureVerdict) {
    let signer = verdict.signer
    let path: Path =
      switch verdict.chain {
      case .notChecked: .notChecked
      case .good: .good
      case .bad(let reason, let certificate): .bad("\(reason) (\(certificate))")
      }
    let revocation: Revocation =
      switch verdict.revocation {
      case .notChecked: .unknown("no revocation list was looked at")
      case .good: .good
      case .revoked(let at, _): .revoked(atUnixSeconds: at)
      case .noList(let issuer): .unknown("there is no revocation list of \(issuer)")
      case .stale(let issuer, _): .unknown("the revocation list of \(issuer) is out of date")
      }
    self.init(
      mathematics: Mathematics(verdict), certificate: signer?.der ?? [], sha1: signer?.sha1Fingerprint ?? "",
      mailAddresses: signer?.mailAddresses ?? [], notBefore: signer?.notBefore ?? 0, notAfter: signer?.notAfter ?? 0, path: path,
      revocation: revocation, signingTime: verdict.signingTime, fingerprint: verdict.fingerprint ?? "")
  }
}

extension SignatureFindings.Mathematics {
  init(_ verdict: SignatureVerdict) {
    switch verdict.mathematics {
    case .good: self = .good
    case .bad(.contentChanged):
      self = .bad(
        Reason(
          english: "the message was changed after it was signed",
          italian: "la firma digitale del messaggio non risulta attendibile: il messaggio è stato modificato dopo la firma"))
    case .bad:
      self = .bad(Reason(english: "the signature does not hold", italian: "la firma digitale del messaggio non risulta attendibile"))
    case .refused(let refusal):
      self = .bad(
        Reason(
          english: "the signature cannot be judged: \(refusal.words)",
          italian: "la firma digitale del messaggio non risulta attendibile: formato non ammesso"))
    }
  }
}
