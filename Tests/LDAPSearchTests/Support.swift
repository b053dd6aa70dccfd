import Foundation

/// A folder of the test's own, with certificates made by the openssl command; removed after.
final class DirectoryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/ldap-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path + "/data", withIntermediateDirectories: true)
    for authority in ["ca", "other"] {
      try run(
        "openssl",
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=\(authority)"]
          + ["-keyout", "\(authority).key", "-out", "\(authority).pem"])
    }
    try leaf("server", names: "IP:127.0.0.1")
    try leaf("misnamed", names: "DNS:altrove.example")
    try run("openssl", ["x509", "-in", "server.pem", "-outform", "DER", "-out", "server.der"])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private func leaf(_ name: String, names: String) throws {
    try run(
      "openssl",
      [
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)", "-addext",
        "subjectAltName=\(names)",
      ]
        + ["-keyout", "\(name).key", "-out", "\(name).csr"])
    try run(
      "openssl",
      ["x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-copy_extensions", "copy"]
        + ["-out", "\(name).pem"])
  }

  func file(_ name: String) -> String { path + "/" + name }

  func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file(name)))) }

  struct ToolFailure: Error, CustomStringConvertible {
    var description: String
  }

  func run(_ tool: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [tool] + arguments
    process.currentDirectoryURL = URL(filePath: path)
    var environment = ProcessInfo.processInfo.environment
    environment["PATH"] = (environment["PATH"] ?? "/usr/bin:/bin") + ":/usr/sbin:/usr/local/sbin"
    process.environment = environment
    let out = Pipe()
    process.standardError = out
    process.standardOutput = out
    try process.run()
    let said = out.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw ToolFailure(description: "\(tool): " + String(decoding: said, as: UTF8.self)) }
  }
}

/// An OpenLDAP server on loopback with the schema of RFC 6109 and an index; killed after.
final class DirectoryServer {
  let folder: DirectoryFolder
  private(set) var plain = ""
  private(set) var secure = ""
  private var running: Process?

  /// - Parameters:
  ///   - certificate: name of the server's certificate in the folder.
  ///   - lines: of the database's configuration.
  init(_ ldif: String, certificate: String = "server", lines: [String] = []) throws {
    folder = try DirectoryFolder()
    let schema = try Data(contentsOf: Bundle.module.resourceURL!.appendingPathComponent("Fixtures/postacert.schema"))
    try schema.write(to: URL(filePath: folder.file("postacert.schema")))
    let configuration =
      [
        "include /etc/ldap/schema/core.schema", "include \(folder.file("postacert.schema"))", "modulepath /usr/lib/ldap",
        "moduleload back_mdb", "TLSCACertificateFile \(folder.file("ca.pem"))", "TLSCertificateFile \(folder.file("\(certificate).pem"))",
        "TLSCertificateKeyFile \(folder.file("\(certificate).key"))", "database mdb", "maxsize 104857600", "suffix o=postacert",
        "rootdn cn=admin,o=postacert", "rootpw segreto", "directory \(folder.file("data"))", "sizelimit unlimited",
      ] + lines
    try (configuration.joined(separator: "\n") + "\n").write(toFile: folder.file("slapd.conf"), atomically: true, encoding: .utf8)
    try ldif.write(toFile: folder.file("index.ldif"), atomically: true, encoding: .utf8)
    try folder.run("slapadd", ["-f", "slapd.conf", "-l", "index.ldif"])
    // slapd cannot say which port it was given: free ones are asked for, and others when somebody was faster.
    for _ in 0..<20 {
      if try start() { return }
    }
    throw DirectoryFolder.ToolFailure(description: "slapd does not start")
  }

  private func start() throws -> Bool {
    let (one, two) = (try FreePort(), try FreePort())
    (plain, secure) = ("ldap://127.0.0.1:\(one.number)", "ldaps://127.0.0.1:\(two.number)")
    one.release()
    two.release()
    let process = Process()
    process.executableURL = URL(filePath: "/usr/sbin/slapd")
    process.arguments = ["-f", folder.file("slapd.conf"), "-h", "\(plain) \(secure)", "-d", "stats"]
    process.currentDirectoryURL = URL(filePath: folder.path)
    let out = Pipe()
    process.standardError = out
    process.standardOutput = out
    try process.run()
    var said = ""
    while true {
      let more = out.fileHandleForReading.availableData
      if more.isEmpty { break }
      said += String(decoding: more, as: UTF8.self)
      if said.contains("slapd starting") {
        // What it says from here on is read and forgotten, so that it never waits for room.
        let handle = out.fileHandleForReading
        Thread { while !handle.availableData.isEmpty {} }.start()
        running = process
        // It says so a moment before it listens.
        while process.isRunning {
          if FreePort.answers(one.number), FreePort.answers(two.number) { return true }
          sched_yield()
        }
        return false
      }
    }
    process.waitUntilExit()
    return false
  }

  deinit { stop() }

  /// Ends the server by its own process, and waits. Not by SIGTERM: the threads of the tests block it, and what they start inherits that.
  func stop() {
    if let running { kill(running.processIdentifier, SIGKILL) }
    running?.waitUntilExit()
    running = nil
  }
}

/// A port of loopback that nobody holds, held until it is needed.
struct FreePort {
  let number: UInt16
  let descriptor: Int32

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { [descriptor] pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        bind(descriptor, raw, length) == 0 && getsockname(descriptor, raw, &length) == 0
      }
    }
    guard bound else { throw DirectoryFolder.ToolFailure(description: "no free port") }
    number = UInt16(bigEndian: address.sin_port)
  }

  func release() { close(descriptor) }

  /// Whether somebody listens on a port.
  static func answers(_ number: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = number.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        connect(descriptor, raw, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
