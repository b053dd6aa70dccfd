import Foundation

/// A folder of the test's own with certificates made by the openssl command; removed after.
final class WebFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/web-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for authority in ["ca", "other"] {
      try run(
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=\(authority)"]
          + ["-keyout", "\(authority).key", "-out", "\(authority).pem"])
    }
    try leaf("server", names: "IP:127.0.0.1")
    try leaf("misnamed", names: "DNS:altrove.example")
    try leaf("client", names: "DNS:client.example")
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private func leaf(_ name: String, names: String) throws {
    try run(
      [
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)", "-addext",
        "subjectAltName=\(names)",
      ]
        + ["-keyout", "\(name).key", "-out", "\(name).csr"])
    try run(
      ["x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-copy_extensions", "copy"]
        + ["-out", "\(name).pem"])
  }

  struct ToolFailure: Error, CustomStringConvertible {
    var description: String
  }

  private func run(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    process.currentDirectoryURL = URL(filePath: path)
    let out = Pipe()
    process.standardError = out
    process.standardOutput = out
    try process.run()
    let said = out.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw ToolFailure(description: String(decoding: said, as: UTF8.self)) }
  }
}

/// A web server of Python's standard library with the paths that the tests ask for; killed after. Its ports are the system's choice.
final class WebServer {
  private let process = Process()
  private let input = Pipe()
  let folder: WebFolder
  /// Base addresses: plain, with TLS, with TLS and another's name, with a client's certificate, with TLS 1.1 only.
  private(set) var plain = "", secure = "", misnamed = "", asking = "", old = ""

  init() throws {
    folder = try WebFolder()
    try WebServer.script.write(toFile: folder.path + "/server.py", atomically: true, encoding: .utf8)
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "server.py"]
    process.currentDirectoryURL = URL(filePath: folder.path)
    let out = Pipe()
    process.standardOutput = out
    // The server ends when its input does, so that it does not outlive a test that dies.
    process.standardInput = input
    try process.run()
    var said: [UInt8] = []
    while said.last != 10 {
      let more = out.fileHandleForReading.availableData
      guard !more.isEmpty else { throw WebFolder.ToolFailure(description: "the server did not start") }
      said += more
    }
    let ports = String(decoding: said, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
    guard ports.count == 5 else { throw WebFolder.ToolFailure(description: "the server said \(ports)") }
    plain = "http://127.0.0.1:\(ports[0])"
    (secure, misnamed) = ("https://127.0.0.1:\(ports[1])", "https://127.0.0.1:\(ports[2])")
    (asking, old) = ("https://127.0.0.1:\(ports[3])", "https://127.0.0.1:\(ports[4])")
  }

  deinit {
    // Not by SIGTERM: the threads of the tests block it, and what they start inherits that.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  func file(_ name: String) -> String { folder.path + "/" + name }

  private static let script = #"""
    import http.server, os, ssl, sys, threading

    ports = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words):
            pass

        def answer(self, status, body=b"", **fields):
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in fields:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            path = self.path
            if path == "/index":
                self.answer(200, b"dn: o=postacert\n", ETag='"abc"', Last_Modified="Sat, 21 Nov 2026 04:00:00 GMT")
            elif path == "/octets":
                self.answer(200, bytes(range(256)) * 400)
            elif path == "/conditional":
                held = self.headers.get("If-None-Match") == '"abc"' or self.headers.get("If-Modified-Since") == "yesterday"
                self.answer(304, ETag='"abc"') if held else self.answer(200, b"new", ETag='"def"')
            elif path == "/always-unchanged":
                self.answer(304)
            elif path.startswith("/status/"):
                self.answer(int(path.split("/")[2]), b"<html>index</html>")
            elif path.startswith("/redirect/"):
                left = int(path.split("/")[2])
                self.answer(302, b"gone", Location="/index" if left == 1 else "/redirect/%d" % (left - 1), ETag='"redirect"')
            elif path == "/to-plain":
                self.answer(302, Location="http://127.0.0.1:%d/index" % ports["plain"])
            elif path == "/to-secure":
                self.answer(302, Location="https://127.0.0.1:%d/index" % ports["secure"])
            elif path == "/to-file":
                self.answer(302, Location="file:///etc/passwd")
            elif path == "/short":
                self.answer(200, b"half", Content_Length="8")
                self.close_connection = True
            elif path == "/silent":
                self.rfile.read(1)
                self.close_connection = True
            elif path == "/endless":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                except OSError:
                    self.close_connection = True
            elif path == "/headers":
                self.send_response(200)
                for number in range(50):
                    self.send_header("X-%d" % number, "x" * 8000)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path == "/strange-etag":
                self.answer(200, b"x", ETag="\"caff\xe8\"", Last_Modified="x" * 2000)
            elif path == "/peer":
                self.answer(200, str(self.connection.getpeercert().get("subject", "")).encode())
            else:
                self.answer(404, b"no such path")

        def do_POST(self):
            path = self.path
            length = int(self.headers.get("Content-Length", "-1"))
            body = self.rfile.read(length) if 0 <= length <= 1 << 26 else b""
            if path == "/echo":
                told = [self.headers.get(name, "-") for name in ("Content-Type", "Accept", "Expect", "If-None-Match", "User-Agent")]
                self.answer(200, "\n".join(told).encode() + b"\n" + body, Content_Type="application/timestamp-reply")
            elif path == "/size":
                self.answer(200, str(len(body)).encode())
            elif path == "/who":
                self.answer(200, self.headers.get("Authorization", "-").encode())
            elif path.startswith("/status/"):
                self.answer(int(path.split("/")[2]), b"no")
            elif path.startswith("/redirect/"):
                self.answer(int(path.split("/")[2]), Location="/echo")
            elif path == "/endless":
                self.answer(200, b"x" * 100000)
            elif path == "/silent":
                self.rfile.read(1)
                self.close_connection = True
            else:
                self.answer(404, b"no such path")

    def serve(name, certificate=None, asks=False, newest=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate + ".pem", certificate + ".key")
            if newest:
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = newest
            if asks:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations("ca.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *words: None
        ports[name] = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    serve("plain")
    serve("secure", "server")
    serve("misnamed", "misnamed")
    serve("asking", "server", asks=True)
    serve("old", "server", newest=ssl.TLSVersion.TLSv1_1)
    print(*[ports[name] for name in ("plain", "secure", "misnamed", "asking", "old")], flush=True)
    sys.stdin.read()
    os._exit(0)
    """#
}
