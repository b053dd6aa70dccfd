/// All that lies in a quarantine, oldest first, read day by day: memory is needed for the records of one day.
public struct QuarantineWalk: Sequence, IteratorProtocol {
  private struct Folder {
    var path: String
    /// Year, month and day, as far as the path goes.
    var numbers: [Int]
  }

  /// Folders still to be opened and items still to be handed out, the next one last.
  private var folders: [Folder] = []
  private var ready: [QuarantineItem] = []
  private let from: [Int]
  private let to: [Int]
  /// Only entries in a folder of this name are met, and nothing else is looked at.
  private let only: String?

  init(root: String, from: QuarantineDay?, to: QuarantineDay?, only: String? = nil) throws(QuarantineError) {
    self.from = from.map { [$0.year, $0.month, $0.day] } ?? [0, 0, 0]
    self.to = to.map { [$0.year, $0.month, $0.day] } ?? [9999, 12, 31]
    self.only = only
    // The root that cannot be read is an error of its own: an empty list would say that nothing is there.
    open(Folder(path: root, numbers: []), names: try FileCalls.names(in: root))
  }

  /// The next message, or the next thing that a person has to look at.
  public mutating func next() -> QuarantineItem? {
    while true {
      if let item = ready.popLast() { return item }
      guard let folder = folders.popLast() else { return nil }
      do throws(QuarantineError) {
        if folder.numbers.count == 3, let only {
          let path = "\(folder.path)/\(only)"
          if FileCalls.facts(path) != nil { ready.append(QuarantineWalk.item(path, folder.numbers)) }
        } else {
          open(folder, names: try FileCalls.names(in: folder.path))
        }
      } catch { ready.append(.damaged(path: folder.path, reason: "\(error)")) }
    }
  }

  private mutating func open(_ folder: Folder, names: [String]) {
    if folder.numbers.count == 3 {
      let items = names.map { QuarantineWalk.item("\(folder.path)/\($0)", folder.numbers) }
      ready = items.sorted { QuarantineWalk.order($1) < QuarantineWalk.order($0) }
      return
    }
    for name in names.reversed() {
      let path = "\(folder.path)/\(name)"
      if folder.numbers.isEmpty, name == EntryNames.staging || name == EntryNames.accessLog { continue }
      guard name.utf8.count == (folder.numbers.isEmpty ? 4 : 2), let number = QuarantineDay.number(name.utf8),
        FileCalls.facts(path)?.isFolder == true
      else {
        if only == nil { ready.append(.damaged(path: path, reason: "nothing of this name belongs here")) }
        continue
      }
      let numbers = folder.numbers + [number]
      let count = numbers.count
      if numbers.lexicographicallyPrecedes(from.prefix(count)) || to.prefix(count).lexicographicallyPrecedes(numbers) { continue }
      folders.append(Folder(path: path, numbers: numbers))
    }
  }

  private static func order(_ item: QuarantineItem) -> (Int64, String) {
    switch item {
    case .entry(let entry): (entry.record.instant.unixSeconds, entry.record.id)
    case .damaged(let path, _): (.max, path)
    }
  }

  /// What a folder of a day holds, judged without reading the message.
  static func item(_ path: String, _ numbers: [Int]) -> QuarantineItem {
    func damaged(_ reason: String) -> QuarantineItem { .damaged(path: path, reason: reason) }
    guard let day = QuarantineDay(year: numbers[0], month: numbers[1], day: numbers[2]) else { return damaged("there is no such day") }
    guard FileCalls.facts(path)?.isFolder == true else { return damaged("it is no folder") }
    do throws(QuarantineError) {
      let names = try FileCalls.names(in: path)
      for name in [EntryNames.message, EntryNames.record] where !names.contains(name) { return damaged("\(name) is missing") }
      if let odd = names.first(where: { $0 != EntryNames.message && $0 != EntryNames.record }) {
        return damaged("\(odd) does not belong here")
      }
      let file = "\(path)/\(EntryNames.record)"
      let record = try StoredRecord.decode(try FileCalls.read(file, limit: StoredRecord.maximumBytes).array, path: file)
      // Both ends of its time hang on the day: a record of another day would be found by no search, and purged too early.
      guard let own = QuarantineDay(unixSeconds: record.instant.unixSeconds, utcOffsetSeconds: record.instant.utcOffsetSeconds), own == day,
        let keepUntil = day.adding(months: Quarantine.monthsToKeep)
      else { return damaged("its record is of another day") }
      guard path.hasSuffix("/" + EntryNames.folder(for: record.id)) else { return damaged("its record is of another message") }
      guard let message = FileCalls.facts("\(path)/\(EntryNames.message)"), message.isFile, message.bytes == record.bytes else {
        return damaged("\(EntryNames.message) has not the \(record.bytes) octets that were put there")
      }
      return .entry(QuarantineEntry(record: record, path: path, day: day, keepUntil: keepUntil))
    } catch {
      switch error {
      case .damaged(_, let reason): return damaged(reason)
      default: return damaged("\(error)")
      }
    }
  }
}
