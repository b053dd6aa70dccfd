public import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// A message for one mailbox.
public struct MaildirDelivery: Sendable {
  /// Address of the mailbox, which names its folder. Whether there is such a mailbox is decided elsewhere.
  public var address: String
  /// Name of the message's file, derived from its Message-ID: same message, same name. At the most 200 octets.
  public var uniqueName: String
  /// The message, in order.
  public var content: [Chunk]
  /// Envelope sender without angle brackets, "" for `<>`: a `Return-Path` line is written before the message (RFC 5321 §4.4). Nil for none.
  public var returnPath: String?
  /// Looks for the message among those that a mail reader has moved to `cur`: needed when it may have been delivered before.
  public var checkExisting: Bool
  /// Writes nothing: whether the message is there is all that is wanted.
  public var isLookedFor = false

  /// A message for one mailbox.
  public init(address: String, uniqueName: String, content: [Chunk], returnPath: String?, checkExisting: Bool = true) {
    self.address = address
    self.uniqueName = uniqueName
    self.content = content
    self.returnPath = returnPath
    self.checkExisting = checkExisting
  }
}

/// What became of a delivery that did not fail. The first two mean that the message is in the mailbox, durably.
public enum MaildirOutcome: Sendable, Equatable {
  case stored
  /// It was there from an earlier attempt; there is no second copy.
  case alreadyThere
  /// It was only looked for, and is not there.
  case absent
}

/// Mailboxes in the Maildir form, one folder for each address below a root: written into `tmp`, synced, renamed into `new`, folder synced.
///
/// Calls block; they belong on a thread that may wait for the disk. Several threads may deliver, but not the same message at once.
public struct Maildir: Sendable {
  /// Folder of the mailboxes.
  public let root: String
  private let temporaryPrefix: String

  /// Mailboxes below `root`, which is made when it is not there (its parent must be). Temporary files that an earlier run left are removed.
  ///
  /// - Parameters:
  ///   - hostname: part of the names of temporary files, as the form has it.
  ///   - staleSeconds: age from which a temporary file of ours is a leftover.
  /// - Throws: when the root can neither be found nor made.
  public init(root: String, hostname: String = "localhost", staleSeconds: Int = 3600) throws(MailstoreError) {
    self.root = root
    temporaryPrefix = Maildir.temporaryMark + (FolderName.file(String(hostname.prefix(60))) ?? "localhost") + ".\(getpid())."
    if !FileCalls.exists(root) {
      try FileCalls.makeDirectory(root)
      try FileCalls.syncDirectory(root + "/..")
    }
    _ = removeStaleTemporaries(olderThanSeconds: staleSeconds)
  }

  /// Folder of an address's mailbox: the address in lower case, with `%xx` for what has no place in a name.
  public func folder(of address: String) throws(MailstoreError) -> String {
    guard let path = FolderName.path(of: address) else { throw .unusableAddress(address) }
    return root + "/" + path
  }

  /// Delivers one message.
  ///
  /// - Returns: `stored`, or `alreadyThere` when an earlier attempt had got so far.
  /// - Throws: why not; `isTemporary` says whether to try again. No half-written message is ever seen in the mailbox.
  public func deliver(
    address: String, uniqueName: String, content: [Chunk], returnPath: String?, checkExisting: Bool = true
  ) throws(MailstoreError) -> MaildirOutcome {
    let delivery = MaildirDelivery(
      address: address, uniqueName: uniqueName, content: content, returnPath: returnPath, checkExisting: checkExisting)
    return try deliverAll([delivery])[0].get()
  }

  /// Delivers several messages, sharing the syncs of folders; one result for each, in order. One that fails does not hold up the others.
  public func deliverAll(_ deliveries: [MaildirDelivery]) -> [Result<MaildirOutcome, MailstoreError>] {
    var results: [Result<MaildirOutcome, MailstoreError>] = []
    var at = 0
    while at < deliveries.count {
      // Each open file costs a descriptor until its group is through.
      let end = min(at + 64, deliveries.count)
      var group = MaildirGroup(deliveries: Array(deliveries[at..<end]), maildir: self, temporaryPrefix: temporaryPrefix)
      results.append(contentsOf: group.perform())
      at = end
    }
    return results
  }

  /// Removes temporary files of ours that are older than this, from all mailboxes; how many. Those of other programs are theirs.
  public func removeStaleTemporaries(olderThanSeconds seconds: Int) -> Int { removeStale(in: root, seconds) }

  private func removeStale(in folder: String, _ seconds: Int) -> Int {
    var removed = 0
    for name in FileCalls.names(in: folder) {
      if name.hasSuffix("%") {
        removed += removeStale(in: folder + "/" + name, seconds)
        continue
      }
      let temporary = folder + "/" + name + "/tmp"
      for file in FileCalls.names(in: temporary) where file.hasPrefix(Maildir.temporaryMark) {
        let path = temporary + "/" + file
        if FileCalls.isOlder(path, thanSeconds: seconds) {
          FileCalls.remove(path)
          removed += 1
        }
      }
    }
    return removed
  }

  /// How the names of our temporary files begin.
  private static let temporaryMark = "ceralacca."
}
