internal import CLibclamav
import Synchronization

/// What libclamav has to say for itself; it has one outlet for the whole process.
enum EngineMessages {
  private struct Said {
    var lines: [String] = []
    var shortage: String?
  }

  private static let said = Mutex(Said())
  private static let maximumLines = 24

  /// Takes libclamav's messages from now on; nothing of them goes to the standard error output.
  static func capture() {
    unsafe cl_set_clcb_msg { severity, _, message, _ in
      guard severity.rawValue >= CL_MSG_WARN.rawValue, let message = unsafe message else { return }
      EngineMessages.take(unsafe Printable.line(UnsafeRawPointer(message), limit: 400))
    }
  }

  private static func take(_ line: String) {
    said.withLock { said in
      if said.lines.count < maximumLines { said.lines.append(line) }
      // libclamav goes on after these with less than the whole, and may call the rest clean.
      let shortages = ["llocate", "No space left", "Too many open files", "write error", "temporary file", "Can't write"]
      // These only say that a file claims to be of an impossible size.
      let claims = ["too large to scan", "allocate 0 bytes"]
      if said.shortage == nil, !claims.contains(where: { line.contains($0) }), shortages.contains(where: { line.contains($0) }) {
        said.shortage = line
      }
    }
  }

  /// What was said since the last time.
  static func takeLines() -> [String] {
    said.withLock { said in
      let lines = said.lines
      said = Said()
      return lines
    }
  }

  /// The first thing since the last time that says that memory, disk or descriptors ran out.
  static func takeShortage() -> String? {
    said.withLock { said in
      guard !said.lines.isEmpty else { return nil }
      let shortage = said.shortage
      said = Said()
      return shortage
    }
  }
}

/// C strings of unknown contents for lines of text.
enum Printable {
  /// Printable ASCII on one line, cut at `limit` octets; everything else becomes a question mark, ends are trimmed.
  static func line(_ text: UnsafeRawPointer, limit: Int) -> String {
    var octets: [UInt8] = []
    var at = 0
    while at < limit {
      let octet = unsafe text.load(fromByteOffset: at, as: UInt8.self)
      if octet == 0 { break }
      octets.append(32...126 ~= octet ? octet : octet == 10 || octet == 13 || octet == 9 ? 32 : UInt8(ascii: "?"))
      at += 1
    }
    while octets.last == 32 { octets.removeLast() }
    return String(decoding: octets, as: UTF8.self)
  }
}
