public import Journey
public import Octets
internal import Synchronization

/// The store of infected messages (area di conservazione, RFC 6109 §2.2.4; DPR 68/2005 art. 12): each in a folder of its own below its
/// day, `YYYY/MM/DD/<id>/`, with `message.eml` as it came and `record.json`. What is there is written once and never changed; it is
/// purged after 30 months and never before.
///
/// All folders are their owner's alone. Any number of processes may read; `keep` may be called by several threads.
public final class Quarantine: Sendable {
  /// Months after the day of arrival for which a message is kept (DPR 68/2005 art. 12).
  public static let monthsToKeep = 30

  /// The folder of it all.
  public let path: String
  /// One message is put away at a time: whoever finds an entry or a folder made by somebody else finds it on the disk.
  private let writing = Mutex(())

  /// The quarantine in a folder, which is made with the first message.
  public init(path: String) { self.path = path }

  /// The last day on which a message that arrived then must be there; nil for a time that no calendar has.
  public static func keepUntil(_ record: QuarantineRecord) -> QuarantineDay? { day(record)?.adding(months: monthsToKeep) }

  private static func day(_ record: QuarantineRecord) -> QuarantineDay? {
    QuarantineDay(unixSeconds: record.instant.unixSeconds, utcOffsetSeconds: record.instant.utcOffsetSeconds)
  }

  // MARK: Putting away

  /// Puts a message away: when this returns, it is on the disk under its final name. The same message under the same identifier changes
  /// nothing, so that a journey may be performed again after a crash.
  ///
  /// - Parameters:
  ///   - record: what is known of it; `bytes` must be the size of `content`.
  ///   - content: the message as it came.
  /// - Throws: `.otherContent` when the identifier has another message already; `.unusableRecord`; `.system`.
  public func keep(_ record: QuarantineRecord, content: [Chunk]) throws(QuarantineError) {
    guard !record.id.isEmpty else { throw .unusableRecord("it has no identifier") }
    guard let day = Quarantine.day(record), let until = day.adding(months: Quarantine.monthsToKeep) else {
      throw .unusableRecord("no calendar has its time of arrival")
    }
    let bytes = content.reduce(0) { $0 + $1.count }
    guard record.bytes == bytes else { throw .unusableRecord("it says \(record.bytes) octets, and the message has \(bytes)") }
    let words = try StoredRecord.encode(record, keepUntil: until)
    try writing.withLock { _ throws(QuarantineError) in
      let folders = try makeFolders(day)
      let entry = "\(folders[folders.count - 1])/\(EntryNames.folder(for: record.id))"
      if FileCalls.facts(entry) == nil {
        try put(record.id, Chunk(words), content, at: entry)
      } else {
        try Quarantine.compare(entry, content)
      }
      // Again when it was there already: the call that made it may have failed at this.
      try FileCalls.setMode(entry, 0o500)
      for folder in [entry] + folders.reversed() { try FileCalls.syncFolder(folder) }
    }
  }

  /// The root, the year's, the month's and the day's folder.
  private func makeFolders(_ day: QuarantineDay) throws(QuarantineError) -> [String] {
    if try FileCalls.makeFolder(path) { try FileCalls.syncFolder("\(path)/..") }
    _ = try FileCalls.makeFolder("\(path)/\(EntryNames.staging)")
    var folders = [path]
    for name in [QuarantineDay.padded(day.year, 4), QuarantineDay.padded(day.month, 2), QuarantineDay.padded(day.day, 2)] {
      folders.append("\(folders[folders.count - 1])/\(name)")
      _ = try FileCalls.makeFolder(folders[folders.count - 1])
    }
    return folders
  }

  /// Writes the entry where nobody looks, then shows it whole: a crash leaves all of it or nothing.
  private func put(_ id: String, _ words: Chunk, _ content: [Chunk], at entry: String) throws(QuarantineError) {
    let staged = stagingPath()
    _ = try FileCalls.makeFolder(staged)
    do throws(QuarantineError) {
      try FileCalls.write([words], to: "\(staged)/\(EntryNames.record)")
      try FileCalls.write(content, to: "\(staged)/\(EntryNames.message)")
      try FileCalls.syncFolder(staged)
      if try FileCalls.rename(staged, to: entry) { return }
      // Another process was faster.
      try FileCalls.removeFolder(staged)
      try Quarantine.compare(entry, content)
    } catch {
      try? FileCalls.removeFolder(staged)
      throw error
    }
  }

  private func stagingPath() -> String {
    "\(path)/\(EntryNames.staging)/\(EntryNames.hexadecimal(Entropy.word(), digits: 16))"
  }

  private static func compare(_ entry: String, _ content: [Chunk]) throws(QuarantineError) {
    guard try FileCalls.holds("\(entry)/\(EntryNames.message)", content) else { throw .otherContent(path: entry) }
  }

  // MARK: Looking

  /// All messages of these days, both included, oldest first, and whatever is damaged, without reading the messages.
  /// - Throws: `.system` when the folder is there and cannot be read.
  public func all(from: QuarantineDay? = nil, to: QuarantineDay? = nil) throws(QuarantineError) -> QuarantineWalk {
    try QuarantineWalk(root: path, from: from, to: to)
  }

  /// The message of our own identifier; nil when there is none.
  /// - Throws: `.damaged` when it is not as it was put there.
  public func find(_ id: String) throws(QuarantineError) -> QuarantineEntry? {
    guard !id.isEmpty else { return nil }
    for item in try QuarantineWalk(root: path, from: nil, to: nil, only: EntryNames.folder(for: id)) {
      switch item {
      case .entry(let entry): return entry
      case .damaged(let path, let reason): throw .damaged(path: path, reason: reason)
      }
    }
    return nil
  }

  /// The octets of a message.
  /// - Throws: `.damaged` when there are more or fewer than its record says.
  public func content(of entry: QuarantineEntry) throws(QuarantineError) -> Chunk {
    let content = try FileCalls.read(entry.messagePath, limit: entry.record.bytes)
    guard content.count == entry.record.bytes else { throw .damaged(path: entry.path, reason: "the message was cut") }
    return content
  }

  /// The octets of a message's `record.json`.
  public func recordFile(of entry: QuarantineEntry) throws(QuarantineError) -> Chunk {
    try FileCalls.read(entry.recordPath, limit: StoredRecord.maximumBytes)
  }

  // MARK: Removing

  /// Removes every message whose time has passed before `today`, and nothing else: what is damaged stays for a person to look at.
  ///
  /// - Parameter isTrial: only says what would be removed.
  /// - Returns: what was removed, and what is damaged or could not be removed.
  public func purge(
    before today: QuarantineDay, isTrial: Bool = false
  ) throws(QuarantineError) -> (removed: [QuarantineEntry], failed: [QuarantineItem]) {
    var removed: [QuarantineEntry] = []
    var failed: [QuarantineItem] = []
    if !isTrial { removeLeftOvers() }
    // Whatever arrived after this day has not had its months, however long they are.
    guard let last = today.adding(months: -Quarantine.monthsToKeep) else { return ([], []) }
    for item in try all(to: last) {
      guard case .entry(let entry) = item else {
        failed.append(item)
        continue
      }
      guard entry.keepUntil < today else { continue }
      do throws(QuarantineError) {
        if !isTrial { try purge(entry, before: today) }
        removed.append(entry)
      } catch { failed.append(.damaged(path: entry.path, reason: "\(error)")) }
    }
    return (removed, failed)
  }

  /// Removes one message whose time has passed before `today`.
  /// - Throws: `.mustBeKept` when it has not.
  public func purge(_ entry: QuarantineEntry, before today: QuarantineDay) throws(QuarantineError) {
    guard let until = Quarantine.keepUntil(entry.record), until < today else {
      throw .mustBeKept(path: entry.path, until: entry.keepUntil)
    }
    let numbers = entry.path.split(separator: "/").suffix(4)
    guard numbers.count == 4, entry.path.hasPrefix(path + "/") else { throw .damaged(path: entry.path, reason: "it lies elsewhere") }
    // Moved out first: an entry is there whole, or not at all. A folder must be writable to be moved.
    let staged = stagingPath()
    _ = try FileCalls.makeFolder("\(path)/\(EntryNames.staging)")
    try FileCalls.setMode(entry.path, 0o700)
    guard try FileCalls.rename(entry.path, to: staged) else {
      throw .system(operation: "move to", path: staged, code: FileCalls.inTheWay)
    }
    var folder = String(entry.path.dropLast(numbers.last.map { $0.utf8.count + 1 } ?? 0))
    try FileCalls.syncFolder(folder)
    try FileCalls.removeFolder(staged)
    // Its day, month and year go with their last message.
    for name in numbers.dropLast().reversed() {
      guard FileCalls.removeIfEmpty(folder) else { break }
      folder = String(folder.dropLast(name.utf8.count + 1))
    }
  }

  /// Removes what a crash left half written or half removed more than a day ago. Such a message was never acknowledged to anybody.
  public func removeLeftOvers() {
    let staging = "\(path)/\(EntryNames.staging)"
    let now = FileCalls.now()
    for name in (try? FileCalls.names(in: staging)) ?? [] {
      guard let facts = FileCalls.facts("\(staging)/\(name)"), facts.isFolder, now - facts.changedAt > 86_400 else { continue }
      try? FileCalls.removeFolder("\(staging)/\(name)")
    }
  }

  // MARK: Who looked

  /// Writes who looked at what into `access.log`, durably; the caller shows nothing when this fails (`pec-rules` 9.4: restricted access).
  /// - Parameter words: one line, without control characters.
  public func noteAccess(_ words: String) throws(QuarantineError) {
    guard let facts = FileCalls.facts(path) else { return }
    try FileCalls.append(ASCII.escaped(words) + "\n", to: "\(path)/\(EntryNames.accessLog)", owner: (facts.owner, facts.group))
  }
}
