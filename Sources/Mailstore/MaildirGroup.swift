internal import Octets

/// A group of deliveries on its way through the four steps. Every step is taken for all of them before the next, so that the disk is
/// asked once for what one answer serves.
struct MaildirGroup {
  private typealias Outcome = Result<MaildirOutcome, MailstoreError>

  /// A message in a temporary file.
  private struct Written {
    let index: Int
    let descriptor: Int32
    let temporary: String
    let final: String
    let folder: String
  }

  private let deliveries: [MaildirDelivery]
  private let maildir: Maildir
  private let temporaryPrefix: String
  private var outcomes: [Outcome?]
  private var written: [Written] = []
  /// Folders to be synced, with the deliveries that wait for it.
  private var waiting: [String: [Int]] = [:]
  /// The delivery that a file belongs to, and those of the same message to the same mailbox after it.
  private var firsts: [String: Int] = [:]
  private var repeats: [(index: Int, first: Int)] = []

  init(deliveries: [MaildirDelivery], maildir: Maildir, temporaryPrefix: String) {
    self.deliveries = deliveries
    self.maildir = maildir
    self.temporaryPrefix = temporaryPrefix
    outcomes = [Outcome?](repeating: nil, count: deliveries.count)
  }

  mutating func perform() -> [Result<MaildirOutcome, MailstoreError>] {
    for index in deliveries.indices {
      do throws(MailstoreError) { try write(index) } catch { outcomes[index] = .failure(error) }
    }
    // All octets before any name: a sync behind a rename would have to commit that rename first, one journal write for each file.
    let durable = written.filter { sync($0) }
    for file in durable { appear(file) }
    syncFolders()
    for (index, first) in repeats { outcomes[index] = outcomes[first]?.map { $0 == .absent ? .absent : .alreadyThere } }
    // Every delivery has its outcome by now; one without would be tried again and found.
    return outcomes.map { $0 ?? .failure(.unusableName("")) }
  }

  /// First step: finds the message, or writes it into `tmp`.
  private mutating func write(_ index: Int) throws(MailstoreError) {
    let delivery = deliveries[index]
    let mailbox = try maildir.folder(of: delivery.address)
    guard let name = FolderName.file(delivery.uniqueName) else { throw .unusableName(delivery.uniqueName) }
    let pieces = try content(delivery)
    let final = mailbox + "/new/" + name
    if let first = firsts[final] {
      repeats.append((index, first))
      return
    }
    firsts[final] = index
    if let folder = existing(name, in: mailbox, evenRead: delivery.checkExisting) {
      // Its name may not be durable yet: the run that put it there may have ended before it came to that.
      outcomes[index] = .success(.alreadyThere)
      waiting[folder, default: []].append(index)
      return
    }
    if delivery.isLookedFor {
      outcomes[index] = .success(.absent)
      return
    }
    let temporary = mailbox + "/tmp/" + temporaryPrefix + Hex.encode(Entropy.bytes(8))
    let descriptor = try create(temporary, in: mailbox)
    do throws(MailstoreError) { try FileCalls.write(pieces, to: descriptor, path: temporary) } catch {
      FileCalls.close(descriptor)
      FileCalls.remove(temporary)
      throw error
    }
    FileCalls.beginSync(descriptor)
    written.append(Written(index: index, descriptor: descriptor, temporary: temporary, final: final, folder: mailbox + "/new"))
  }

  /// Second step: the octets are made durable. False when they could not be.
  private mutating func sync(_ file: Written) -> Bool {
    defer { FileCalls.close(file.descriptor) }
    do throws(MailstoreError) {
      try FileCalls.sync(file.descriptor, path: file.temporary)
      return true
    } catch {
      FileCalls.remove(file.temporary)
      outcomes[file.index] = .failure(error)
      return false
    }
  }

  /// Third step: the message appears under its name.
  private mutating func appear(_ file: Written) {
    do throws(MailstoreError) {
      try FileCalls.rename(file.temporary, to: file.final)
      outcomes[file.index] = .success(.stored)
      waiting[file.folder, default: []].append(file.index)
    } catch {
      FileCalls.remove(file.temporary)
      outcomes[file.index] = .failure(error)
    }
  }

  /// Fourth step: the names are made durable. Where that fails the message is tried again, and found.
  private mutating func syncFolders() {
    for (folder, indices) in waiting {
      do throws(MailstoreError) { try FileCalls.syncDirectory(folder) } catch {
        for index in indices { outcomes[index] = .failure(error) }
      }
    }
  }

  /// The message with its Return-Path line.
  private func content(_ delivery: MaildirDelivery) throws(MailstoreError) -> [Chunk] {
    guard let returnPath = delivery.returnPath else { return delivery.content }
    guard returnPath.utf8.allSatisfy({ $0 > 31 && $0 != 127 && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }) else {
      throw .unusableReturnPath
    }
    return [Chunk("Return-Path: <\(returnPath)>\r\n")] + delivery.content
  }

  /// The folder where the message is already: `new`, or `cur` with what a mail reader puts behind its name (flags after a colon, sizes
  /// after a comma; our names have neither).
  private func existing(_ name: String, in mailbox: String, evenRead: Bool) -> String? {
    if FileCalls.exists(mailbox + "/new/" + name) { return mailbox + "/new" }
    guard evenRead else { return nil }
    let read = FileCalls.names(in: mailbox + "/cur").contains { $0 == name || $0.hasPrefix(name + ":") || $0.hasPrefix(name + ",") }
    return read ? mailbox + "/cur" : nil
  }

  /// Opens the temporary file; makes the mailbox when it is not there.
  private func create(_ temporary: String, in mailbox: String) throws(MailstoreError) -> Int32 {
    let descriptor = try FileCalls.create(temporary)
    if descriptor >= 0 { return descriptor }
    try make(mailbox)
    let second = try FileCalls.create(temporary)
    if second < 0 { throw .system(operation: "make", path: temporary, code: 2) }
    return second
  }

  /// Makes the folders of a mailbox, durably.
  private func make(_ mailbox: String) throws(MailstoreError) {
    var parent = maildir.root
    for step in mailbox.dropFirst(maildir.root.count + 1).split(separator: "/") {
      try FileCalls.makeDirectory(parent + "/" + step)
      try FileCalls.syncDirectory(parent)
      parent += "/" + step
    }
    for name in ["tmp", "new", "cur"] { try FileCalls.makeDirectory(mailbox + "/" + name) }
    try FileCalls.syncDirectory(mailbox)
  }
}
