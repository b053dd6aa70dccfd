import Dispatch
import Foundation
import Glibc

/// What goes to the terminal.
enum Output {
  /// A line on standard output.
  static func line(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

  /// A line on standard error.
  static func notice(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

  /// What went wrong, in words.
  static func complain(_ text: String) { notice("smtp-load: \(text)") }
}

/// The files that messages come from and go to.
enum Files {
  /// The octets of a file, or of all files in a folder in the order of their names. Hidden ones are passed over.
  static func read(_ path: String) throws -> [(name: String, octets: [UInt8])] {
    guard FileManager.default.fileExists(atPath: path) else { throw Fault("\(path): no such file or folder") }
    var names = [path]
    if try isFolder(path) {
      names = try FileManager.default.contentsOfDirectory(atPath: path).sorted().filter { !$0.hasPrefix(".") }.map { "\(path)/\($0)" }
      names = try names.filter { try !isFolder($0) }
    }
    return try names.map { (name: $0, octets: Array(try Data(contentsOf: URL(fileURLWithPath: $0)))) }
  }

  private static func isFolder(_ path: String) throws -> Bool {
    try URL(fileURLWithPath: path).resourceValues(forKeys: [.isDirectoryKey]).isDirectory ?? false
  }

  static func write(_ octets: [UInt8], to path: String) throws { try Data(octets).write(to: URL(fileURLWithPath: path)) }
}

/// Something that ends the run, in words.
struct Fault: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// The clocks of a measurement.
enum Clock {
  /// CLOCK_MONOTONIC, which all processes of the machine share.
  static var nanoseconds: UInt64 { DispatchTime.now().uptimeNanoseconds }

  /// Microseconds of processor time that all threads of this process have used, in user space and in the system.
  static var cpuMicroseconds: Double {
    var usage = rusage()
    // Writes into the local, and nothing else can reach it; fails for unknown processes only, and this one is known.
    let code = unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
    precondition(code == 0, "getrusage does not know this process")
    func microseconds(_ time: timeval) -> Double { Double(time.tv_sec) * 1e6 + Double(time.tv_usec) }
    return microseconds(usage.ru_utime) + microseconds(usage.ru_stime)
  }

  static func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }
}

/// What reports are written with.
enum JSON {
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return "null" }
    return "\((value * 1000).rounded() / 1000)"
  }

  static func microseconds(_ nanoseconds: Double) -> String { number((nanoseconds / 100).rounded() / 10) }

  static func text(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case _ where scalar.value < 32 || scalar.value == 127: out += " "
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }

  static func object(_ fields: [(String, String)]) -> String {
    "{\(fields.map { "\(text($0.0)): \($0.1)" }.joined(separator: ", "))}"
  }

  static func counts(_ counts: [Int: Int]) -> String {
    object(counts.sorted { $0.key < $1.key }.map { ("\($0.key)", "\($0.value)") })
  }
}
