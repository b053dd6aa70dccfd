import Configuration
import Octets
import TimeStamping
import WebFetch

/// Asks the time-stamping authorities, in the order of the configuration, until one answers as it should.
struct StampClient {
  let settings: TimeStampSettings
  let clock: @Sendable () -> Int64
  /// Authorities that failed, by their places: they are not asked again by this client, so that one that is down holds nobody up twice.
  private(set) var failed: Set<Int> = []
  /// What went wrong with whom, a line each.
  private(set) var lines: [String] = []

  init(settings: TimeStampSettings, clock: @escaping @Sendable () -> Int64) {
    self.settings = settings
    self.clock = clock
  }

  /// A stamp that holds, and who vouches for it.
  struct Stamp {
    var token: TimeStampToken
    /// PEM certificates.
    var authorities: [UInt8]
    var url: String
  }

  /// True while there is an authority left to ask.
  var hasHope: Bool { failed.count < settings.authorities.count }

  /// A stamp over a digest; nil when no authority gave one.
  mutating func stamp(_ imprint: [UInt8]) -> Stamp? {
    for (place, authority) in settings.authorities.enumerated() where !failed.contains(place) {
      do {
        return try ask(authority, imprint)
      } catch {
        failed.insert(place)
        lines.append("no time stamp from \(authority.url): \(error)")
      }
    }
    return nil
  }

  private func ask(_ authority: TimeStampAuthoritySettings, _ imprint: [UInt8]) throws -> Stamp {
    // Read anew each time: the operator may have put another file there.
    let pem = try DurableFiles.read(authority.caFile, maximumBytes: 1 << 20)
    let vouching = try TimeStampAuthorities(pem: pem)
    let request = try TimeStampRequest(imprint: imprint, nonce: Entropy.word(), policy: authority.policy)
    let answer = try WebFetch.post(
      try webRequest(authority), body: request.octets, contentType: TimeStampRequest.contentType, accept: TimeStampRequest.responseType)
    let token = try request.check(
      response: answer.body, authorities: vouching, now: clock(), toleranceSeconds: settings.toleranceSeconds)
    return Stamp(token: token, authorities: CertificateText.pem(vouching.certificates), url: authority.url)
  }

  private func webRequest(_ authority: TimeStampAuthoritySettings) throws(SealingError) -> WebRequest {
    var request = WebRequest(
      url: authority.url, maximumBytes: TimeStampRequest.maximumResponseBytes, timeoutSeconds: max(1, settings.timeoutSeconds))
    if let user = authority.user {
      request.user = user
      if let file = authority.passwordFile {
        let line = try DurableFiles.read(file, maximumBytes: 4096).prefix { $0 != 10 && $0 != 13 }
        request.password = String(decoding: line, as: UTF8.self)
      }
    }
    return request
  }
}
