import Foundation

/// Runs one of the machines that every message passes, so many times, under a tool that counts instructions: see `Benchmarks/run`.
@main
enum InstructionCount {
  static func main() {
    let arguments = CommandLine.arguments
    if arguments.count == 2, arguments[1] == "list" {
      for machine in Machines.all { print(machine.name) }
      return
    }
    guard arguments.count == 3, let machine = Machines.all.first(where: { $0.name == arguments[1] }), let times = Int(arguments[2]),
      (1...1_000_000).contains(times)
    else {
      FileHandle.standardError.write(Data("instruction-count list | instruction-count NAME TIMES (1 to 1000000)\n".utf8))
      exit(64)
    }
    do {
      let work = try machine.prepare()
      for _ in 0..<times { try work() }
    } catch {
      FileHandle.standardError.write(Data("\(machine.name): \(error)\n".utf8))
      exit(1)
    }
  }
}

/// A folder that goes with the last reference.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("instruction-count-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
