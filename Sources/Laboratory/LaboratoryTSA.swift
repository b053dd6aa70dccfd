import EventLoop
import Foundation
import Octets
import TimeStamping

/// A time stamp authority (TSA) on loopback HTTP (RFC 3161 §3.4), for the laboratory. It can be told to go wrong in every way that a
/// gateway must survive, from outside too: a file `manner` in its folder with the name of one is read at each request.
///
/// Lives on its loop's thread.
public final class LaboratoryTSA {
  /// What it does with a request.
  public enum Manner: String, CaseIterable, Sendable {
    /// Stamps it.
    case honest
    /// Rejects it, as one whose clock has failed.
    case rejects
    /// Answers 503.
    case busy
    /// Takes it and never answers.
    case silent
    /// Answers with octets that are none of RFC 3161.
    case garbage
    /// Stamps another digest.
    case wrongImprint = "wrong-imprint"
    /// Answers another request.
    case otherNonce = "other-nonce"
    /// Stamps a time an hour from now.
    case wrongTime = "wrong-time"
    /// Signs with a certificate that has expired.
    case expired
    /// Signs with a certificate of an authority that nobody knows.
    case stranger
  }

  /// What it does, unless the file `manner` says something else.
  public var manner = Manner.honest
  /// Requests that came, good or bad.
  public private(set) var requests = 0
  /// Policy of its stamps.
  public static let policy = "1.3.6.1.4.1.99999.1.1"

  private let loop: Loop
  private let folder: String
  private let name: String
  private let pki: LaboratoryPKI
  private let honest: TimeStampResponder
  private var others: [Manner: TimeStampResponder] = [:]
  private var listener: Listener?
  private var sessions: [ObjectIdentifier: Session] = [:]

  /// Makes or takes up its key, and listens nowhere yet.
  /// - Parameters:
  ///   - folder: its own; made when it is not there.
  ///   - name: common name of its certificate.
  ///   - pki: who vouches for it.
  public init(loop: Loop, folder: String, name: String, pki: LaboratoryPKI) throws {
    self.loop = loop
    self.folder = folder
    self.name = name
    self.pki = pki
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    _ = try pki.timeStampAuthority(name: name, path: "\(folder)/tsa.pem")
    honest = try TimeStampResponder(path: "\(folder)/tsa.pem", policy: LaboratoryTSA.policy)
  }

  /// Listens on loopback, on any free port when `port` is 0. Returns the port; requests go to `http://127.0.0.1:PORT/`.
  public func listen(port: Int) throws -> Int {
    let listener = try loop.listen(host: "127.0.0.1", port: port, reusePort: false, backlog: 64) { [unowned self] stream in
      let session = Session(stream, self)
      sessions[ObjectIdentifier(session)] = session
      session.begin()
    }
    self.listener = listener
    return listener.boundPort
  }

  /// Listens no more; nobody can be asked, as when the authority is down. `listen` begins again.
  public func close() {
    listener?.close()
    listener = nil
    for session in Array(sessions.values) { session.end() }
  }

  private var presentManner: Manner {
    guard let text = try? String(contentsOfFile: "\(folder)/manner", encoding: .utf8) else { return manner }
    return Manner(rawValue: text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? manner
  }

  /// The answer's status and content; nil for none at all.
  private func answer(_ request: [UInt8]) -> (status: String, body: [UInt8])? {
    requests += 1
    let now = Int64(Date().timeIntervalSince1970)
    func fine(_ body: [UInt8]) -> (status: String, body: [UInt8]) { ("200 OK", body) }
    let manner = presentManner
    switch manner {
    case .honest: return fine(honest.answer(request, at: now))
    case .rejects: return fine(TimeStampResponder.rejection("the clock has failed", failure: 14))
    case .busy: return ("503 Service Unavailable", [])
    case .silent: return nil
    case .garbage: return fine(Array("<html>It works!</html>".utf8))
    case .wrongImprint: return fine(honest.answer(changed(request) { imprint, nonce in (imprint.map { $0 ^ 0xFF }, nonce) }, at: now))
    case .otherNonce: return fine(honest.answer(changed(request) { imprint, nonce in (imprint, nonce ^ 1) }, at: now))
    case .wrongTime: return fine(honest.answer(request, at: now + 3600))
    case .expired, .stranger:
      guard let other = try? responder(manner) else { return ("500 Internal Server Error", []) }
      return fine(other.answer(request, at: now))
    }
  }

  private func changed(_ request: [UInt8], _ change: ([UInt8], UInt64) -> ([UInt8], UInt64)) -> [UInt8] {
    guard let read = try? TimeStampRequest(reading: request) else { return request }
    let (imprint, nonce) = change(read.imprint, read.nonce ?? 0)
    return (try? TimeStampRequest(imprint: imprint, nonce: nonce, policy: read.policy, digest: read.digest))?.octets ?? request
  }

  /// The keys for what it seldom does are made when they are needed.
  private func responder(_ manner: Manner) throws -> TimeStampResponder {
    if let made = others[manner] { return made }
    let path = "\(folder)/\(manner.rawValue).pem"
    if manner == .expired {
      _ = try pki.timeStampAuthority(name: name, path: path, validity: LaboratoryValidity(fromDays: -90, toDays: -1))
    } else {
      let unknown = "\(folder)/stranger"
      try FileManager.default.createDirectory(atPath: unknown, withIntermediateDirectories: true)
      let now = Int64(Date().timeIntervalSince1970)
      _ = try LaboratoryPKI(directory: unknown, now: now).timeStampAuthority(name: name, path: path)
    }
    let made = try TimeStampResponder(path: path, policy: LaboratoryTSA.policy)
    others[manner] = made
    return made
  }

  private func ended(_ session: Session) { sessions[ObjectIdentifier(session)] = nil }

  /// One connection, for one request.
  private final class Session {
    private let stream: EventLoop.Stream
    private unowned let authority: LaboratoryTSA
    private var octets: [UInt8] = []
    private var isAnswered = false

    private static let maximumBytes = 64 << 10

    init(_ stream: EventLoop.Stream, _ authority: LaboratoryTSA) {
      self.stream = stream
      self.authority = authority
    }

    func begin() {
      stream.onRead = { [unowned self] in arrived($0) }
      stream.onEnd = { [unowned self] in end() }
      stream.onFailure = { [unowned self] _ in end() }
      stream.startReading()
    }

    func end() {
      stream.close()
      authority.ended(self)
    }

    private func arrived(_ span: Span<UInt8>) {
      guard !isAnswered else { return }
      octets.append(copying: span)
      guard octets.count <= Session.maximumBytes else { return send("413 Content Too Large", []) }
      guard let head = headEnd else { return }
      let lines = String(decoding: octets[..<head], as: UTF8.self).split(separator: "\r\n")
      func field(_ name: String) -> String? {
        lines.dropFirst().first { $0.lowercased().hasPrefix(name + ":") }?.dropFirst(name.utf8.count + 1)
          .trimmingCharacters(in: .whitespaces)
      }
      guard lines.first?.hasPrefix("POST ") ?? false else { return send("405 Method Not Allowed", []) }
      guard field("content-type") == TimeStampRequest.contentType else { return send("415 Unsupported Media Type", []) }
      guard let count = field("content-length").flatMap({ Int($0) }), (0...Session.maximumBytes).contains(count) else {
        return send("411 Length Required", [])
      }
      guard octets.count >= head + 4 + count else { return }
      isAnswered = true
      guard let answer = authority.answer(Array(octets[head + 4..<head + 4 + count])) else { return }
      send(answer.status, answer.body)
    }

    /// Where the empty line begins.
    private var headEnd: Int? {
      let arrived = octets
      return Scan.first([13, 10, 13, 10], in: arrived.span)
    }

    private func send(_ status: String, _ body: [UInt8]) {
      isAnswered = true
      let head =
        "HTTP/1.1 \(status)\r\nContent-Type: \(TimeStampRequest.responseType)\r\nContent-Length: \(body.count)\r\n"
        + "Connection: close\r\n\r\n"
      stream.write([Chunk(Array(head.utf8) + body)], completion: nil)
      stream.closeAfterWrites()
      authority.ended(self)
    }
  }
}
