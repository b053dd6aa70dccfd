import Foundation
import Octets
import ScanEngine
import ScanWire

/// Why the tests cannot be run.
struct Unfit: Error, CustomStringConvertible {
  var description: String
}

/// A folder of a test's own, removed at its end.
final class Folder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/ceralacca-engine-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Data(text.utf8)) }

  @discardableResult
  func write(_ name: String, _ data: Data) throws -> String {
    try data.write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

/// Signatures and what they match.
enum Materials {
  /// The test string of EICAR, in two halves so that no scanner takes this file.
  static let eicar = Array(#"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-"#.utf8) + Array("STANDARD-ANTIVIRUS-TEST-FILE!$H+H*".utf8)
  static let invented = Array("ceralacca invented pattern number one".utf8)
  static let later = Array("ceralacca invented pattern number two".utf8)

  static func line(_ name: String, _ pattern: [UInt8]) -> String {
    "\(name):0:*:\(hexadecimal(pattern))\n"
  }

  static func hexadecimal(_ octets: [UInt8]) -> String { octets.map { String(format: "%02x", $0) }.joined() }

  /// Of HTML libclamav looks at its normal form, which is in lower case, and at nothing else: target 3.
  static let page = "Eicar-Test-Signature:3:*:" + hexadecimal(Array(String(decoding: eicar, as: UTF8.self).lowercased().utf8)) + "\n"
  static let signatures = line("Eicar-Test-Signature", eicar) + page + line("Ceralacca-Invented-1", invented)

  /// libclamav is one for the whole process.
  private static let ready = Result { try ScanEngine.initialize() }

  static func engine(_ database: String, _ options: ScanOptions = ScanOptions()) throws -> ScanEngine {
    try ready.get()
    return try ScanEngine.load(database: database, temporary: FileManager.default.temporaryDirectory.path, options: options)
  }

  /// An engine with the usual signatures.
  static func engine(_ options: ScanOptions = ScanOptions()) throws -> ScanEngine {
    let folder = try Folder()
    return try engine(try folder.write("laboratory.ndb", signatures), options)
  }

  /// What a script writes on its standard output. `input` is its file "input", and its working folder is its own.
  static func python(_ script: String, input: [UInt8] = eicar) throws -> Chunk {
    let folder = try Folder()
    try folder.write("input", Data(input))
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-c", script]
    process.currentDirectoryURL = URL(filePath: folder.path)
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Unfit(description: "the script failed:\n\(script)") }
    return Chunk([UInt8](data))
  }

  static let prologue = """
    import base64, gzip, io, os, subprocess, sys, zipfile
    data = open("input", "rb").read()
    def zipped(content, name="a.bin", kind=zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", kind) as z: z.writestr(name, content)
        return out.getvalue()
    def locked(content, name="a.bin"):
        open(name, "wb").write(content)
        subprocess.run(["zip", "-q", "-P", "secret", "locked.zip", name], check=True)
        return open("locked.zip", "rb").read()
    def mail(*parts):
        out = b"Received: by localhost\\r\\nFrom: a@b.it\\r\\n"
        out += b"MIME-Version: 1.0\\r\\nContent-Type: multipart/mixed; boundary=xyz\\r\\n\\r\\n"
        for part in parts:
            out += b"--xyz\\r\\nContent-Type: application/octet-stream\\r\\nContent-Transfer-Encoding: base64\\r\\n\\r\\n"
            out += base64.encodebytes(part).replace(b"\\n", b"\\r\\n") + b"\\r\\n"
        return out + b"--xyz--\\r\\n"
    def put(content): sys.stdout.buffer.write(content)

    """

  static func made(_ expression: String, input: [UInt8] = eicar) throws -> Chunk {
    try python(prologue + "put(\(expression))\n", input: input)
  }
}

extension ScanEngine {
  func scan(_ octets: Chunk) -> ScanAnswer { scan(octets, milliseconds: 60_000) }
}
