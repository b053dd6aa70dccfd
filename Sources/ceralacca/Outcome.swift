import ArgumentParser
import Foundation
import Octets
import Operations

/// How a command ends: lines on standard output, an error on standard error, an exit code of sysexits.h.
enum Outcome {
  /// Writes a line to standard output at once, so that a reader of a pipe sees it.
  static func say(_ line: String) { try? FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8)) }

  /// Writes to standard output as it is; false when nobody reads it any more.
  static func show(_ text: String) -> Bool { (try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))) != nil }

  /// Says on a terminal how far something is, each time over the last.
  static func progress(_ words: String) {
    if Terminal.isWatched { try? FileHandle.standardError.write(contentsOf: Data("\r\(words)\u{1B}[K".utf8)) }
  }

  /// Clears what was said of progress.
  static func endProgress() { progress("") }

  /// Writes octets to a file, whole or not at all, or to standard output.
  static func write(_ octets: [UInt8], to path: String?) throws {
    guard let path else { return try FileHandle.standardOutput.write(contentsOf: Data(octets)) }
    do { try Data(octets).write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
      throw CommandFailure("\(path) cannot be written: \(error.localizedDescription)", exitCode: 74)
    }
  }

  /// Runs `body`; a `CommandFailure` becomes its words and its exit code.
  static func of(_ body: () throws -> Void) throws {
    LocalTime.useLegalTime()
    do { try body() } catch let failure as CommandFailure {
      if !failure.message.isEmpty { complain(failure.message) }
      throw ExitCode(failure.exitCode)
    } catch {
      complain("\(error)")
      throw ExitCode(70)
    }
  }

  private static func complain(_ words: String) { try? FileHandle.standardError.write(contentsOf: Data("ceralacca: \(words)\n".utf8)) }
}
