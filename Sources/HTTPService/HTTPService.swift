internal import CMicrohttpd
import Glibc

/// What somebody asked for.
public struct HTTPQuestion: Sendable {
  /// The path without a query, as it came.
  public var path: String
  /// The Accept field; nil where there was none.
  public var accept: String?
}

/// What he gets.
public struct HTTPAnswer: Sendable {
  /// 200…599.
  public var status: Int
  public var contentType: String
  public var body: String

  /// An answer; plain text unless said otherwise.
  public init(status: Int = 200, contentType: String = "text/plain; charset=utf-8", body: String) {
    self.status = status
    self.contentType = contentType
    self.body = body
  }
}

/// Why a service could not be started: in words.
public struct HTTPServiceError: Error, Sendable, Equatable, CustomStringConvertible {
  public var description: String
}

/// A small HTTP server for machines that look after this one: GET and HEAD, on one thread of the library's own, within bounds.
///
/// Nothing that comes in is kept: a body is read over, a header beyond the memory of its connection is answered 431, a connection that is
/// silent is closed, and connections above the bound wait in the system's queue.
@safe
public final class HTTPService: Sendable {
  /// Connections at once.
  public static let maximumConnections: UInt32 = 64
  /// Connections of one address at once, where others than this machine come: one that drips octets must not take them all.
  public static let maximumOfOnePeer: UInt32 = 8
  /// Seconds of silence after which a connection ends.
  public static let silenceSeconds: UInt32 = 5
  /// Memory of a connection: request line, header and the answer's header.
  static let connectionBytes = 16 * 1024

  /// What the library's callback finds.
  private final class Desk: Sendable {
    let answer: @Sendable (HTTPQuestion) -> HTTPAnswer
    init(_ answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer) { self.answer = answer }
  }

  // Made in init, ended once in deinit; the library uses it from its own thread only, and answers no call of ours meanwhile.
  private nonisolated(unsafe) let daemon: OpaquePointer
  // The callback's context: the reference is taken in init and let go in deinit, when the library's thread has ended.
  private let desk: Unmanaged<Desk>
  /// The port, as the system gave it where any was wished.
  public let port: Int

  /// Listens, and answers from then on until the object goes.
  /// - Parameters:
  ///   - address: an IP address.
  ///   - port: 0 for any.
  ///   - boundsPeers: whether one address may have `maximumOfOnePeer` connections only; those above are closed. On loopback all who ask
  ///     have the same one.
  ///   - answer: called on the service's thread, one question at a time: it must not wait for anything.
  public init(
    address: String, port: Int, boundsPeers: Bool = false, answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer
  ) throws(HTTPServiceError) {
    var words = [CChar](repeating: 0, count: 256)
    let handle = unsafe words.withUnsafeMutableBufferPointer { room in
      unsafe ceralacca_http_listen(address, UInt16(clamping: port), room.baseAddress, room.count)
    }
    guard handle >= 0 else {
      throw HTTPServiceError(description: String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    self.port = Int(ceralacca_http_port(handle))
    let desk = unsafe Unmanaged.passRetained(Desk(answer))
    let started = unsafe ceralacca_http_start(
      handle, HTTPService.callback, desk.toOpaque(), HTTPService.maximumConnections, boundsPeers ? HTTPService.maximumOfOnePeer : 0,
      HTTPService.silenceSeconds, HTTPService.connectionBytes)
    guard let started = unsafe started else {
      close(handle)
      unsafe desk.release()
      throw HTTPServiceError(description: "the HTTP server's thread could not be started")
    }
    unsafe daemon = started
    unsafe self.desk = desk
  }

  deinit {
    // Ends the thread, and every connection.
    unsafe MHD_stop_daemon(daemon)
    unsafe desk.release()
  }

  /// Called by the library for each request: first when its header is there, then for pieces of a body, and once when it is complete.
  private static let callback: MHD_AccessHandlerCallback = { context, connection, url, method, _, _, uploaded, state in
    guard let context = unsafe context, let connection = unsafe connection, let url = unsafe url, let method = unsafe method,
      let state = unsafe state, let uploaded = unsafe uploaded
    else { return ceralacca_http_outcome(0) }
    let word = unsafe String(cString: method)
    if word != "GET", word != "HEAD" {
      return unsafe HTTPService.queue(HTTPAnswer(status: 405, body: "GET and HEAD only\n"), connection, allow: "GET, HEAD")
    }
    if unsafe state.pointee == nil {
      // Answered when the request is complete; any address says that it was seen.
      unsafe state.pointee = context
      return ceralacca_http_outcome(1)
    }
    if unsafe uploaded.pointee > 0 {
      // A body that nobody asked for is read over.
      unsafe uploaded.pointee = 0
      return ceralacca_http_outcome(1)
    }
    let accept = unsafe ceralacca_http_field(connection, "Accept").map { unsafe String(cString: $0) }
    let desk = unsafe Unmanaged<Desk>.fromOpaque(context).takeUnretainedValue()
    return unsafe HTTPService.queue(desk.answer(HTTPQuestion(path: String(cString: url), accept: accept)), connection)
  }

  private static func queue(_ answer: HTTPAnswer, _ connection: OpaquePointer, allow: String? = nil) -> MHD_Result {
    let body = Array(answer.body.utf8)
    // The library copies the octets before it returns.
    let made = unsafe body.withUnsafeBytes { unsafe ceralacca_http_response($0.baseAddress, $0.count) }
    guard let response = unsafe made else { return ceralacca_http_outcome(0) }
    defer { unsafe MHD_destroy_response(response) }
    unsafe MHD_add_response_header(response, "Content-Type", answer.contentType)
    unsafe MHD_add_response_header(response, "Cache-Control", "no-store")
    unsafe MHD_add_response_header(response, "X-Content-Type-Options", "nosniff")
    if let allow { unsafe MHD_add_response_header(response, "Allow", allow) }
    return unsafe MHD_queue_response(connection, UInt32(answer.status), response)
  }
}
