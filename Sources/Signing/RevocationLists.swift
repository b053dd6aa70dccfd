internal import COpenSSL
import Octets
import Synchronization

/// Revocation lists (CRLs, RFC 5280 §5) of the authorities, each believed only under its issuer's signature.
///
/// A list whose issuer is among the anchors is verified when it is loaded. The list of an intermediate authority, whose certificate
/// comes with the messages, waits until a message whose path is good brings that certificate; until then it decides nothing. A
/// newer list replaces the older one of the same issuer and scope whole; an older one is never taken back. Any thread may load and
/// ask.
public final class RevocationLists: Sendable {
  /// The largest list taken, in octets. Italian authorities' lists have some megabytes.
  public static let maximumBytes = 64 << 20
  /// The most lists held.
  public static let maximumLists = 256
  /// The most lists of one source that wait for their issuers' certificates.
  public static let maximumWaiting = 32

  private struct State {
    /// Verified lists by their issuer's public key in DER.
    var byKey: [[UInt8]: [RevocationList]] = [:]
    /// Certificates under which lists were verified.
    var issuers: [CertificateHandle] = []
    /// Lists whose issuer is not known yet, each with the keys that did not sign it.
    var waiting: [(list: RevocationList, tried: [[UInt8]])] = []

    var count: Int { waiting.count + byKey.values.reduce(0) { $0 + $1.count } }
  }

  private let state = Mutex(State())

  /// No lists.
  public init() {}

  /// Takes lists into use, all of them or none.
  ///
  /// - Parameters:
  ///   - octets: one list in DER, or any number in PEM (`X509 CRL`).
  ///   - source: a file's name or a URL, for messages.
  ///   - anchors: the authorities.
  /// - Returns: a line for people about each list: issuer, times, number of entries, and whether it was not taken or must wait.
  /// - Throws: what is wrong with the first list that cannot be believed or read.
  public func load(_ octets: [UInt8], named source: String, anchors: TrustAnchors) throws(RevocationError) -> [String] {
    let lists = try RevocationLists.read(octets, source)
    var known = anchors.certificates + state.withLock { $0.issuers }
    known = known.reduce(into: []) { unique, one in if !unique.contains(where: { $0.isSame(one) }) { unique.append(one) } }
    // The slow part, outside of the lock.
    var verified: [(list: RevocationList, issuer: CertificateHandle?)] = []
    for list in lists { verified.append((list, try RevocationLists.issuer(of: list, among: known))) }
    return try state.withLock { state throws(RevocationError) in
      var next = state
      // What waits of a source is what it gave last: it cannot fill the room of others with lists that nobody signed.
      next.waiting.removeAll { $0.list.source == source }
      let lines = verified.map { list, issuer in
        issuer.map { RevocationLists.take(list, $0, &next) } ?? RevocationLists.wait(list, &next)
      }
      let waiting = next.waiting.count { $0.list.source == source }
      guard next.count <= RevocationLists.maximumLists, waiting <= RevocationLists.maximumWaiting else {
        throw RevocationError(fault: .tooMany, source: source)
      }
      state = next
      return lines
    }
  }

  /// A line for people for each list held, those that wait among them.
  public var lines: [String] {
    state.withLock { state in
      state.byKey.values.joined().map(\.line).sorted() + state.waiting.map { RevocationLists.waits($0.list) }.sorted()
    }
  }

  /// When each list held was issued, and when its next edition is due.
  var times: [(issued: Int64, next: Int64)] {
    state.withLock { state in (state.byKey.values.joined() + state.waiting.map(\.list)).map { ($0.issued, $0.next) } }
  }

  /// A line for each list whose next edition should have been there at `at` (seconds since 1970).
  public func staleLines(at: Int64) -> [String] {
    let stale = state.withLock { state in (state.byKey.values.joined() + state.waiting.map(\.list)).filter { $0.next < at } }
    return stale.map { "the revocation list of \($0.issuer) (\($0.source)) is stale: the next was due \(Calendar.text($0.next))" }.sorted()
  }

  // MARK: Asking

  /// What the lists say of a path's certificates at a time, and remarks on the authorities of the path.
  func judge(_ path: VettedPath, at time: Int64) -> (revocation: SignatureVerdict.Revocation, remarks: [String]) {
    adopt(path)
    guard let signer = path.links.first else { return (.notChecked, []) }
    var remarks: [String] = []
    var outcome = judge(signer, at: time, &remarks)
    for link in path.links.dropFirst() where link.issuerKey != nil {
      var remark: [String] = []
      switch judge(link, at: time, &remark) {
      case .revoked(let when, let reason):
        // Nobody may answer for the signer any more: whatever the signer's own list says.
        if case .revoked(let own, _) = outcome, own <= when { continue }
        outcome = .revoked(at: when, reason: "\(reason), of the authority \(link.facts.subject)")
      case .stale(let issuer, let since):
        if case .good = outcome { outcome = .stale(issuer: issuer, since: since) }
      case .noList(let issuer):
        remarks.append(remark.first ?? "No revocation list of \(issuer) was there for the authority \(link.facts.subject).")
      case .good, .notChecked: break
      }
    }
    return (outcome, remarks)
  }

  private func judge(_ link: PathLink, at time: Int64, _ remarks: inout [String]) -> SignatureVerdict.Revocation {
    let issuer = link.facts.issuer
    guard let key = link.issuerKey, let authority = link.issuer else { return .noList(issuer: issuer) }
    let held = state.withLock { $0.byKey[key] ?? [] }
    // The same key may have served under two names.
    let lists = held.filter { $0.bearsName(of: authority) && $0.covers(link.certificate, link.facts) }
    guard let newest = lists.max(by: { $0.issued < $1.issued }) else { return .noList(issuer: issuer) }
    for list in lists {
      if case .revoked(let when, let reason) = list.entry(for: link.certificate) { return .revoked(at: when, reason: reason) }
    }
    // RFC 5280 §5.1.2.4: authorities drop a certificate from the list after its end, so that a later list is silent about it.
    if newest.issued > link.facts.notAfter {
      remarks.append("The list of \(issuer) was issued after the certificate's end and need not name it any more.")
      return .noList(issuer: issuer)
    }
    return newest.next < time ? .stale(issuer: issuer, since: newest.next) : .good(listIssued: newest.issued)
  }

  /// Takes lists into use that waited for a certificate of this path.
  private func adopt(_ path: VettedPath) {
    let waiting = state.withLock { $0.waiting }
    guard !waiting.isEmpty else { return }
    for link in path.links.dropFirst() {
      let key = link.key
      for (list, tried) in waiting where list.bearsName(of: link.certificate) && !tried.contains(key) {
        let holds = RevocationLists.maySign(link.certificate) && list.isSigned(by: link.certificate)
        state.withLock { state in
          guard let at = state.waiting.firstIndex(where: { $0.list === list }) else { return }
          // A list that does not hold stays: another certificate of that name may come.
          guard holds else { return state.waiting[at].tried.append(key) }
          state.waiting.remove(at: at)
          _ = RevocationLists.take(list, link.certificate, &state)
        }
      }
    }
  }

  // MARK: Taking

  private static func read(_ octets: [UInt8], _ source: String) throws(RevocationError) -> [RevocationList] {
    guard octets.count <= maximumBytes else { throw RevocationError(fault: .tooLarge(octets.count), source: source) }
    guard octets.first != DER.sequence else { return [try RevocationList(der: octets, number: 1, source: source)] }
    let blocks: [PEMBlock]
    do { blocks = try PEMFile.blocks(in: octets) } catch {
      if case .malformed(let block) = error { throw RevocationError(fault: .malformed(block), source: source) }
      throw RevocationError(fault: .noList, source: source)
    }
    let ders = blocks.filter(\.isRevocationList)
    guard !ders.isEmpty else { throw RevocationError(fault: .noList, source: source) }
    guard ders.count <= maximumLists else { throw RevocationError(fault: .tooMany, source: source) }
    var lists: [RevocationList] = []
    for block in ders { lists.append(try RevocationList(der: block.octets, number: lists.count + 1, source: source)) }
    return lists
  }

  /// The known certificate that signed a list; nil when none bears its issuer's name.
  private static func issuer(of list: RevocationList, among known: [CertificateHandle]) throws(RevocationError) -> CertificateHandle? {
    let named = known.filter { list.bearsName(of: $0) }
    guard !named.isEmpty else { return nil }
    guard let issuer = named.first(where: { list.isSigned(by: $0) }) else {
      throw RevocationError(fault: .badSignature(issuer: list.issuer), source: list.source)
    }
    // An authority issued anew with the same key may have been given the right later.
    guard let allowed = named.first(where: { maySign($0) && list.isSigned(by: $0) }) else {
      throw RevocationError(fault: .issuerMayNot(issuer: CertificateFacts(issuer).subject), source: list.source)
    }
    return allowed
  }

  /// RFC 5280 §6.3.3 (f): with a keyUsage extension, cRLSign must be in it.
  private static func maySign(_ issuer: CertificateHandle) -> Bool {
    let flags = unsafe X509_get_extension_flags(issuer.raw)
    return unsafe flags & UInt32(EXFLAG_KUSAGE) == 0 || X509_get_key_usage(issuer.raw) & UInt32(KU_CRL_SIGN) != 0
  }

  private static func take(_ list: RevocationList, _ issuer: CertificateHandle, _ state: inout State) -> String {
    if state.issuers.count < maximumLists, !state.issuers.contains(where: { $0.isSame(issuer) }) { state.issuers.append(issuer) }
    var lists = state.byKey[issuer.publicKeyOctets] ?? []
    if let at = lists.firstIndex(where: { $0.issuer == list.issuer && $0.scope == list.scope }) {
      // An old list played again would bring revoked certificates back to life.
      guard lists[at].issued <= list.issued else { return list.line + ": not taken, the list of \(Calendar.text(lists[at].issued)) stays" }
      lists[at] = list
    } else {
      lists.append(list)
    }
    state.byKey[issuer.publicKeyOctets] = lists
    return list.line
  }

  private static func wait(_ list: RevocationList, _ state: inout State) -> String {
    state.waiting.append((list, []))
    return waits(list)
  }

  private static func waits(_ list: RevocationList) -> String {
    list.line + ": waits for its issuer's certificate, which is not among the authorities"
  }
}
