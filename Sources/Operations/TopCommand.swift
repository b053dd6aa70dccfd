import EventLoop
import Foundation
import Gateway
import Octets

/// `ceralacca top`: the running gateway, redrawn each second from what its control socket says.
public enum TopCommand {
  private static let enter = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J"
  private static let leave = "\u{1b}[?25h\u{1b}[?1049l"

  /// Shows frames until SIGINT or SIGTERM, or until nobody reads them; one frame where there is no terminal.
  /// - Parameter show: writes as it is; false when nobody reads any more.
  public static func run(
    configurationFile: String, once: Bool, intervalSeconds: Int, say: (String) -> Void, show: @escaping (String) -> Bool
  ) throws {
    let dataDirectory = try Service.load(configurationFile).dataDirectory
    let loop = try Loop()
    var watches: [SignalWatch] = []
    for number in [SIGINT, SIGTERM, SIGHUP] { watches.append(try loop.onSignal(number) { loop.stop() }) }
    let first = try StatusCommand.ask(dataDirectory: dataDirectory, withinSeconds: 10)
    if once || !Terminal.isThere {
      var second: StatusReport?
      _ = loop.timer(after: UInt64(intervalSeconds) * 1000) {
        second = try? StatusCommand.ask(dataDirectory: dataDirectory, withinSeconds: 10)
        loop.stop()
      }
      loop.run()
      for line in TopFrame(second ?? first, since: first, columns: 120, rows: .max, colours: false).lines { say(line) }
      return
    }
    _ = show(enter)
    // Whatever ends it, the terminal is as it was.
    defer { _ = show(leave) }
    var last = first
    func draw(_ report: StatusReport, _ note: String? = nil) {
      let size = Terminal.size
      var lines = TopFrame(report, since: last, columns: size.columns, rows: size.rows, colours: true).lines
      if let note { lines[0] = TopFrame.fitted(note, size.columns) }
      // Line by line over what stands there, so that nothing flickers.
      let text = lines.map { "\($0)\u{1b}[K" }.joined(separator: "\r\n")
      if !show("\u{1b}[H" + text + "\u{1b}[J") { loop.stop() }
    }
    draw(first)
    _ = loop.timer(after: UInt64(intervalSeconds) * 1000, repeat: UInt64(intervalSeconds) * 1000) {
      do {
        let report = try StatusCommand.ask(dataDirectory: dataDirectory, withinSeconds: 3)
        draw(report)
        last = report
      } catch let failure as CommandFailure {
        draw(last, "NO ANSWER: \(failure.message)")
      } catch { draw(last, "NO ANSWER: \(error)") }
    }
    loop.run()
    _ = watches
  }
}

/// One frame: what was done between two reports, and how things are at the second.
struct TopFrame {
  private let now: StatusReport
  private let before: StatusReport
  private let seconds: Double
  private let columns: Int
  private let rows: Int
  private let colours: Bool

  init(_ now: StatusReport, since before: StatusReport, columns: Int, rows: Int, colours: Bool) {
    self.now = now
    // A gateway that was started anew has counted anew.
    let isSame = now.process == before.process && now.startedAt == before.startedAt
    self.before = isSame ? before : now
    seconds = Double(max(1, now.at - self.before.at))
    self.columns = columns
    self.rows = rows
    self.colours = colours
  }

  /// Lines no wider than the terminal, no more than it has.
  var lines: [String] {
    var lines = [heading] + alarms + [""]
    lines += mail + [""] + work + [""] + queue + [""] + rest
    return lines.prefix(rows).map { TopFrame.fitted($0, columns) }.enumerated().map { coloured($1, $0) }
  }

  static func fitted(_ line: String, _ columns: Int) -> String { line.count > columns ? String(line.prefix(max(1, columns))) : line }

  private func coloured(_ line: String, _ at: Int) -> String {
    guard colours else { return line }
    if line.hasPrefix("ALARM") { return "\u{1b}[1;31m\(line)\u{1b}[0m" }
    if line.hasPrefix("WARNING") { return "\u{1b}[33m\(line)\u{1b}[0m" }
    if at == 0 { return "\u{1b}[1m\(line)\u{1b}[0m" }
    return line.first?.isUppercase == true ? "\u{1b}[7m\(line.padding(toLength: columns, withPad: " ", startingAt: 0))\u{1b}[0m" : line
  }

  private var heading: String {
    let cpu = (now.processorSeconds - before.processorSeconds) / seconds * 100
    return
      "ceralacca \(now.version)  \(ASCII.escaped(now.hostname))  \(StatusPage.time(now.at))  up \(StatusPage.span(now.at - now.startedAt))"
      + "  cpu \(StatusPage.short(max(0, cpu))) %  memory \(StatusPage.size(now.memoryBytes))"
  }

  private var alarms: [String] {
    // The frame is for the numbers; `status` has the rest.
    let shown = now.alarms.prefix(5).map { alarm in
      "\(alarm.severity == .critical ? "ALARM  " : "WARNING") \(alarm.name): \(ASCII.escaped(alarm.words))"
    }
    return shown.isEmpty ? ["all is well"] : shown
  }

  private func cells(_ fields: [String], _ widths: [Int]) -> String {
    zip(fields, widths).enumerated().map { at, cell in
      at == 0 ? cell.0.left(cell.1) : cell.0.right(cell.1)
    }.joined(separator: " ")
  }

  private func rate(_ value: (StatusReport) -> Int) -> String {
    StatusPage.short(Double(max(0, value(now) - value(before))) / seconds)
  }

  private var mail: [String] {
    let widths = [18, 10, 10, 10, 10, 12, 12, 12]
    var lines = [cells(["MAIL, each second", "taken", "refused", "put off", "recipients", "octets", "half within", "99 % within"], widths)]
    for (at, intake) in now.intake.enumerated() {
      func each(_ value: @escaping (StatusReport.Intake) -> Int) -> String {
        rate { $0.intake.indices.contains(at) ? value($0.intake[at]) : 0 }
      }
      let bytes = max(0, intake.bytes - (before.intake.indices.contains(at) ? before.intake[at].bytes : 0))
      lines.append(
        cells(
          [
            intake.point, each { $0.accepted + $0.notAccepted }, each(\.refused), each(\.deferred), each(\.recipients),
            StatusPage.size(Int(Double(bytes) / seconds)), intake.replySecondsHalf.map(StatusPage.duration) ?? "-",
            intake.replySeconds99.map(StatusPage.duration) ?? "-",
          ], widths))
    }
    let sessions = now.sessions
    lines.append(
      "sessions \(sessions.open) open, \(rate { $0.sessions.connections.values.reduce(0, +) }) new/s, "
        + "\(rate { $0.sessions.refusedConnections.values.reduce(0, +) }) refused/s; AUTH \(rate(\.sessions.authenticated))/s, "
        + "\(rate(\.sessions.authenticationsRejected)) rejected/s; limits \(rate { $0.sessions.bounds.values.reduce(0, +) }) refused/s")
    return lines
  }

  private var work: [String] {
    let widths = [18, 10, 10, 10, 10]
    let signatures = Double(max(0, now.signer.signatures - before.signer.signatures))
    let batches = Double(max(0, now.signer.batches - before.signer.batches))
    let busy = max(0, now.signer.busySeconds - before.signer.busySeconds) / seconds / Double(max(1, now.signer.threads)) * 100
    var lines = [
      cells(["WORK, each second", "done", "waiting", "batch", "busy"], widths),
      cells(
        [
          "signatures", StatusPage.short(signatures / seconds), "\(now.signer.waiting)",
          batches > 0 ? StatusPage.short(signatures / batches) : "-", "\(StatusPage.short(busy)) %",
        ], widths) + "  \(now.signer.backend)",
    ]
    if let scanner = now.scanner {
      let words = scanner.isUp ? "\(scanner.workers) of \(scanner.workersWanted) workers, \(scanner.infected) infected" : "DOWN"
      lines.append(cells(["scans", rate { $0.scanner?.scanned ?? 0 }, "\(scanner.waiting)", "-", "-"], widths) + "  \(words)")
    }
    lines.append(cells(["commits", rate(\.storage.commits), "-", "-", "-"], widths) + "  \(now.storage.commitFailures) failed")
    let silences = now.laneSilenceSeconds.map { StatusPage.duration($0) }.joined(separator: ", ")
    lines.append("lanes \(now.laneSilenceSeconds.count), seen \(silences) ago")
    return lines
  }

  private var queue: [String] {
    let widths = [32, 9, 11, 9, 9, 10, 10]
    var lines = [cells(["QUEUE by route", "messages", "recipients", "oldest", "sent/s", "put off/s", "given up/s"], widths)]
    let parts = Dictionary(uniqueKeysWithValues: now.queue.routes.map { ($0.route, $0) })
    // What has most waiting first: there may be more routes than lines.
    let ways = now.deliveries.enumerated().sorted {
      (parts[$0.element.route]?.entries ?? 0, $1.offset) > (parts[$1.element.route]?.entries ?? 0, $0.offset)
    }
    for (_, way) in ways where parts[way.route] != nil || way.sent + way.deferred + way.bounced > 0 {
      func each(_ value: @escaping (StatusReport.Way) -> Int) -> String {
        // A reload in between may have changed their order.
        rate { $0.deliveries.first { $0.route == way.route }.map(value) ?? 0 }
      }
      let part = parts[way.route]
      lines.append(
        cells(
          [
            way.route, "\(part?.entries ?? 0)", "\(part?.recipients ?? 0)", part.map { StatusPage.span(now.at - $0.oldestAt) } ?? "-",
            each(\.sent), each(\.deferred), each(\.bounced),
          ], widths))
      if lines.count > 8 { break }
    }
    return lines.count == 1 ? lines + ["nothing waits, and nothing was delivered yet"] : lines
  }

  private var rest: [String] {
    let storage = now.storage
    let clock = now.clock
    let next = now.deadlines.nextAt.map { $0 > now.at ? ", next in \(StatusPage.span($0 - now.at))" : ", next is due" } ?? ""
    let bound = clock.boundSeconds.map { ", within \(StatusPage.duration($0))" } ?? ""
    return [
      "REST",
      "disk \(StatusPage.size(storage.freeBytes)) free; spool \(StatusPage.size(storage.liveBytes)) of \(StatusPage.size(storage.fileBytes)); "
        + "bodies in memory \(StatusPage.size(storage.intakeBytes))",
      "deadlines \(now.deadlines.pending)\(next); log \(now.log.rows) rows, \(now.log.unsealedRows) not sealed; "
        + "quarantine \(storage.quarantined)",
      "clock \(clock.isTrusted ? "trusted" : "NOT TRUSTED")\(bound); index \(now.index.records) providers; "
        + "certificate ends in \(StatusPage.span(now.signer.notAfter - now.at))",
    ]
  }
}
