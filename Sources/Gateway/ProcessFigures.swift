import Foundation

/// What the system knows of this process.
struct ProcessFigures: Sendable {
  var residentBytes = 0
  var virtualBytes = 0
  var processorSeconds = 0.0
  var threads = 0
  var openDescriptors = 0
  var maximumDescriptors = 0

  /// As it is now. What the system does not say is nought.
  static func now() -> ProcessFigures {
    var figures = ProcessFigures()
    // proc(5): behind the program's name, which stands in parentheses and may have any octet in it.
    if let text = read("/proc/self/stat"), let end = text.lastIndex(of: ")") {
      let fields = text[text.index(after: end)...].split(separator: " ").map { Int($0) ?? 0 }
      if fields.count > 21 {
        figures.processorSeconds = Double(fields[11] + fields[12]) / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        figures.threads = fields[17]
        figures.virtualBytes = fields[20]
        figures.residentBytes = fields[21] * Int(max(1, sysconf(Int32(_SC_PAGESIZE))))
      }
    }
    figures.openDescriptors = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []).count
    figures.maximumDescriptors = max(0, sysconf(Int32(_SC_OPEN_MAX)))
    return figures
  }

  private static func read(_ path: String) -> String? {
    // Not by the file's size, which is nought.
    guard let file = FileHandle(forReadingAtPath: path), let data = try? file.readToEnd() else { return nil }
    return String(decoding: data, as: UTF8.self)
  }
}
