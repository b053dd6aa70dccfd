import Configuration
import Foundation
import Scanning
import Supervision
import Threading

/// The virus scanner: its signatures, whether it works, or whether it could be shut in on this machine.
struct DoctorScanner {
  let context: DoctorContext

  func look() -> [DoctorFinding] {
    guard let scanner = context.configuration.scanner else {
      return [
        DoctorFinding(
          .warning, "scanner", "configuration", "off: nothing is scanned, infected mail passes (RFC 6109 §5.4 demands a scanner)",
          "Write `scanner: { database: /var/lib/clamav }`.")
      ]
    }
    let signatures = context.judge.signatures(
      scanner.database, newest: SignatureDatabase.newestUnixSeconds(of: scanner.database),
      versions: SignatureHeader.versions(in: scanner.database))
    return [signatures, works(scanner)]
  }

  private func works(_ scanner: ScannerConfiguration) -> DoctorFinding {
    guard let report = context.gateway.report else { return sandbox(scanner) }
    guard let state = report.scanner else {
      return DoctorFinding(
        .warning, "scanner", "the gateway", "it was started without one", "Say `ceralacca restart`.", runbook: "scanner-down")
    }
    let words = "\(state.workers) of \(state.workersWanted) workers; \(state.engine), \(state.database)"
    if !state.isUp || state.workers == 0 {
      return DoctorFinding(
        .wrong, "scanner", "the gateway", "down, and no mail is taken: \(state.reason.isEmpty ? words : state.reason)",
        "Read its last words in the log.",
        runbook: "scanner-down")
    }
    if state.workers < state.workersWanted {
      return DoctorFinding(.warning, "scanner", "the gateway", words, "Look in the log why workers end.", runbook: "scanner-workers")
    }
    return .ok("scanner", "the gateway", words)
  }

  /// Seconds for the scanner's own trial.
  private static let trialSeconds = 8

  /// Has the scanner shut itself in as in earnest and try what it must not do: Landlock, seccomp, limits, the other user.
  private func sandbox(_ scanner: ScannerConfiguration) -> DoctorFinding {
    let check = "scanner sandbox"
    let path = scanner.executablePath
    guard FileManager.default.isExecutableFile(atPath: path) else {
      return DoctorFinding(
        .wrong, check, path, "it is not there or cannot be run", "Install it beside ceralacca, or name it with scanner.executable.",
        runbook: "scanner-down")
    }
    let signer = context.configuration.signer
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments =
      ["--self-test", "--key", signer.isInToken ? context.configurationFile : signer.key]
      + (SystemUser.isRoot ? ["--user", scanner.user] : [])
    (process.standardInput, process.standardOutput, process.standardError) = (FileHandle.nullDevice, output, output)
    do { try process.run() } catch {
      return DoctorFinding(
        .wrong, check, path, "it cannot be started: \(error.localizedDescription)", "Install it anew.", runbook: "scanner-down")
    }
    let done = Handoff<Void>()
    let watch = WorkerThread(name: "doctor-scan") {
      done.wait(forSeconds: DoctorScanner.trialSeconds)
      if done.count == 0 { process.terminate() }
    }
    let lines = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n").map(String.init)
    process.waitUntilExit()
    done.send(())
    watch.join()
    if process.terminationStatus == 0 { return .ok(check, path, lines.first ?? "all of it is denied") }
    let allowed = lines.filter { $0.contains("ALLOWED") || $0.contains("not shown") }
    let words = (allowed.isEmpty ? Array(lines.suffix(2)) : allowed).prefix(3).joined(separator: "; ")
    return DoctorFinding(
      .wrong, check, path, words.isEmpty ? "no answer within \(DoctorScanner.trialSeconds) seconds" : words,
      "The scanner does not run without Landlock and seccomp: look at kernel and container.", runbook: "scanner-down")
  }
}

/// The head of an official signature file: `ClamAV-VDB:date:version:…`, padded to 512 octets.
struct SignatureHeader: Equatable {
  static let bytes = 512

  /// "daily 27801, main 62"; empty where no file has a head.
  static func versions(in path: String) -> String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path))?.map { "\(path)/\($0)" } ?? [path]
    var found: [String: Int] = [:]
    for file in names where ["cvd", "cld"].contains((file as NSString).pathExtension.lowercased()) {
      guard let handle = FileHandle(forReadingAtPath: file), let head = try? handle.read(upToCount: bytes),
        let version = version([UInt8](head))
      else { continue }
      let name = ((file as NSString).lastPathComponent as NSString).deletingPathExtension
      found[name] = max(found[name] ?? 0, version)
    }
    return found.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
  }

  /// The version in a head; nil when it is none.
  static func version(_ octets: [UInt8]) -> Int? {
    let fields = String(decoding: octets, as: UTF8.self).split(separator: ":", maxSplits: 4, omittingEmptySubsequences: false)
    guard fields.count > 3, fields[0] == "ClamAV-VDB" else { return nil }
    return Int(fields[2])
  }
}
