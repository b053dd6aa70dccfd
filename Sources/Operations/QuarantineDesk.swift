import Foundation
import Journey
import Octets
import PEC
import Quarantine
import SealedArchive
import Signing

/// The quarantine's commands on a store, with who asks and when.
struct QuarantineDesk {
  let quarantine: Quarantine
  let now: Instant
  /// Who asks, for the access log.
  let user: String
  /// Rows of the certified log about a PEC id.
  let events: (String) throws -> [EventRecord]
  /// Writes a log line.
  let note: (String) -> Void

  private struct Story: Encodable {
    var message: QuarantineRow
    /// Whether the message's octets have the SHA-256 of the record.
    var isIntact: Bool
    var events: [LogCommands.Row]
  }

  private struct Exported: Encodable {
    var id: String
    var file: String
    var sha256: String
    /// Only when it was made here.
    var password: String?
  }

  private struct Purged: Encodable {
    var id: String
    var time: String
    var keepUntil: String
    var isRemoved: Bool
  }

  // MARK: list

  func list(from: QuarantineDay?, to: QuarantineDay?, json: Bool, say: (String) -> Void) throws {
    var count = 0
    var bytes = 0
    var damaged = 0
    for item in try checked({ try quarantine.all(from: from, to: to) }) {
      switch item {
      case .entry(let entry):
        let row = QuarantineRow(entry)
        if count == 0, !json { say(QuarantineRow.heading) }
        say(json ? try Output.json(row) : row.line)
        count += 1
        bytes += row.bytes
      case .damaged(let path, let reason):
        say(json ? try Output.json(QuarantineDamage(path: path, damaged: reason)) : ASCII.escaped("DAMAGED \(path): \(reason)"))
        damaged += 1
      }
    }
    if !json { say(count == 0 ? "No message is in quarantine." : "\(count) \(count == 1 ? "message" : "messages"), \(bytes) octets") }
    if damaged > 0 {
      throw CommandFailure("\(damaged) in quarantine not as they were put there: look at them", exitCode: CommandFailure.dataError)
    }
  }

  // MARK: show

  func show(_ id: String, json: Bool, say: (String) -> Void) throws {
    let entry = try find(id)
    try noteAccess("show \(entry.record.id)")
    let isIntact = isIntact(entry, try checked { try quarantine.content(of: entry) })
    var events: [EventRecord] = []
    var silence = "no row yet"
    do { events = try self.events(entry.record.pecID) } catch let error as CommandFailure { silence = error.message } catch {
      silence = "cannot be read: \(error)"
    }
    let row = QuarantineRow(entry)
    if json {
      say(try Output.json(Story(message: row, isIntact: isIntact, events: events.map(LogCommands.Row.init))))
    } else {
      for line in row.fields { say(line) }
      say("octets      \(isIntact ? "as they were put away" : "DAMAGED: not those that were put away")")
      say("readable    \(readers())")
      say("the log     \(events.isEmpty ? silence : "ceralacca log show \(ASCII.escaped(row.pecID))")")
      for event in events { say("  \(LogCommands.text(event))") }
    }
    if !isIntact { throw CommandFailure("the message is not the one that was put away", exitCode: CommandFailure.dataError) }
  }

  /// Who may read the store, in words.
  private func readers() -> String {
    guard let facts = try? FileManager.default.attributesOfItem(atPath: quarantine.path),
      let mode = facts[.posixPermissions] as? Int
    else { return "nobody knows by whom: the folder cannot be looked at" }
    let owner = facts[.ownerAccountName] as? String ?? "its owner"
    let octal = String(mode, radix: 8)
    return mode & 0o077 == 0
      ? "by \(owner) and root only (\(quarantine.path) has mode \(octal))"
      : "WARNING: by others than \(owner) too (\(quarantine.path) has mode \(octal), and should have 700)"
  }

  // MARK: export

  func export(_ id: String, to path: String, passwordFile: String?, json: Bool, say: (String) -> Void) throws {
    let given = try passwordFile.map(QuarantineDesk.password)
    let entry = try find(id)
    let content = try checked { try quarantine.content(of: entry) }
    guard isIntact(entry, content) else {
      throw CommandFailure("the message is not the one that was put away: it is not exported", exitCode: CommandFailure.dataError)
    }
    let record = try checked { try quarantine.recordFile(of: entry) }
    try noteAccess("export \(entry.record.id) to \(path)")
    let password = given ?? SealedArchive.makePassword()
    func member(_ name: String, _ content: Chunk) -> SealedArchive.Member {
      SealedArchive.Member(name: name, content: [content], modifiedUnixSeconds: entry.record.instant.unixSeconds)
    }
    do throws(SealedArchiveError) {
      try SealedArchive.write(
        [member("README.txt", Chunk(readMe(entry))), member("record.json", record), member("message.eml", content)],
        password: password, to: path)
    } catch {
      switch error {
      case .unusablePassword: throw CommandFailure("\(passwordFile ?? ""): \(error)", exitCode: CommandFailure.dataError)
      default: throw CommandFailure("\(error)", exitCode: CommandFailure.cannotCreate)
      }
    }
    let made = given == nil ? password : nil
    if json { return say(try Output.json(Exported(id: entry.record.id, file: path, sha256: entry.record.digest, password: made))) }
    say("\(path): the message, its record and a README, sealed by AES-256")
    if let made { say("password    \(made)\n            It is said this once; give it to the analyst by another way than the archive.") }
  }

  /// The first line of a file.
  private static func password(_ file: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw CommandFailure("the password file \(file) cannot be read", exitCode: CommandFailure.noInput)
    }
    return String(decoding: data.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
  }

  /// What a person finds who opens the archive and knows nothing of us.
  private func readMe(_ entry: QuarantineEntry) -> String {
    let lines = [
      "WARNING: message.eml is a live sample. It is believed to carry malicious software.",
      "Open it only on a machine made for that, never in a mail program.", "",
      "It was taken out of the quarantine of a provider of Italian certified mail (PEC)",
      "on \(now.rfc3339).", "",
      "  message.eml  the message as it arrived over SMTP, octet for octet (CRLF line ends)",
      "  record.json  what is known of it, as it was put away", "",
      "To see that it is unchanged: sha256sum message.eml", "",
    ]
    let closing = [
      "", "The message is somebody's private correspondence. The provider keeps the original",
      "until \(entry.keepUntil) (RFC 6109, section 2.2.4; Italian decree DPR 68/2005, article 12);",
      "destroy this copy when it has served.",
    ]
    // Where the store lies is no business of whoever gets this.
    let facts = QuarantineRow(entry).fields.filter { !$0.hasPrefix("stored in") && !$0.hasPrefix("keep until") }
    return (lines + facts + closing).map { $0 + "\r\n" }.joined()
  }

  // MARK: purge

  func purge(isConfirmed: Bool, json: Bool, say: (String) -> Void) throws {
    guard let today = QuarantineDay(unixSeconds: now.unixSeconds, utcOffsetSeconds: now.utcOffsetSeconds) else {
      throw CommandFailure("the clock of this machine is wrong", exitCode: CommandFailure.software)
    }
    let plan = try checked { try quarantine.purge(before: today, isTrial: true) }
    var gone = plan.removed
    var failed = plan.failed
    if isConfirmed, !plan.removed.isEmpty {
      // Written down before it is done: nothing may go that no line tells of.
      for entry in plan.removed { try noteAccess("purge \(entry.record.id), kept until \(entry.keepUntil)") }
      (gone, failed) = try checked { try quarantine.purge(before: today) }
    }
    for entry in gone {
      let row = Purged(
        id: entry.record.id, time: entry.record.instant.rfc3339, keepUntil: "\(entry.keepUntil)", isRemoved: isConfirmed)
      say(
        json
          ? try Output.json(row)
          : ASCII.escaped("\(isConfirmed ? "removed" : "would remove") \(row.id), of \(row.time), to be kept until \(row.keepUntil)"))
    }
    for case .damaged(let path, let reason) in failed {
      say(json ? try Output.json(QuarantineDamage(path: path, damaged: reason)) : ASCII.escaped("left alone: \(path): \(reason)"))
    }
    if !json {
      let what = gone.count == 1 ? "1 message has" : "\(gone.count) messages have"
      let next = gone.isEmpty ? "" : isConfirmed ? ", and removed" : "; say --yes to remove them"
      say("\(what) been kept for \(Quarantine.monthsToKeep) months\(next).")
    }
    if !failed.isEmpty {
      throw CommandFailure("\(failed.count) in quarantine could not be purged", exitCode: CommandFailure.dataError)
    }
  }

  // MARK: What they share

  /// The message of an identifier: our own, or its transaction's PEC id with or without angle brackets.
  private func find(_ id: String) throws -> QuarantineEntry {
    if let entry = try checked({ try quarantine.find(id) }) { return entry }
    let pecID = id.hasPrefix("<") && id.hasSuffix(">") ? String(id.dropFirst().dropLast()) : id
    var found: [QuarantineEntry] = []
    for case .entry(let entry) in try checked({ try quarantine.all() }) where entry.record.pecID == pecID { found.append(entry) }
    if found.count == 1 { return found[0] }
    if found.isEmpty {
      throw CommandFailure("no message \(ASCII.escaped(id)) is in quarantine", exitCode: CommandFailure.noInput)
    }
    let ids = found.map { "\n  " + ASCII.escaped($0.record.id) }.joined()
    throw CommandFailure("\(found.count) messages of this transaction are in quarantine; name one:\(ids)", exitCode: CommandFailure.usage)
  }

  private func isIntact(_ entry: QuarantineEntry, _ content: Chunk) -> Bool {
    Hex.encode(ContentDigest.sha256([content])) == entry.record.digest
  }

  private func noteAccess(_ what: String) throws {
    try checked { try quarantine.noteAccess("\(now.rfc3339) \(user): \(what)") }
    note("quarantine: \(user): \(what)")
  }

  private func checked<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as QuarantineError { throw QuarantineCommands.failure(error) }
  }
}
