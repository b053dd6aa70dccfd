public import Octets

#if canImport(Glibc)
  import Glibc
#endif

/// Why the spool could not do what was asked. Each says what happened and what to do about it.
public enum SpoolError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Another process owns the spool; `holder` is its process id where it could be read.
  case inUse(directory: String, holder: String?)
  /// The disk or the quota is full. Nothing was written; the call may be tried again when there is room.
  case full(operation: String, path: String)
  /// The system refused `operation` on `path`. Nothing was written; the call may be tried again.
  case refused(operation: String, path: String, code: Int32)
  /// A write or a sync failed: what is on disk is unknown, so this spool takes and gives nothing any more (house rule 5).
  case failed(operation: String, path: String, code: Int32)
  /// The range cannot be read.
  case damaged(StoredRange, SpoolFault)

  /// True when the spool has stopped for good: only a restart helps. Otherwise the call may be tried again.
  public var isFinal: Bool {
    if case .failed = self { true } else { false }
  }

  public var description: String {
    switch self {
    case .inUse(let directory, let holder):
      "the spool \(directory) is in use by another process\(holder.map { " (\($0))" } ?? ""): stop it first, or configure another folder"
    case .full(let operation, let path):
      "no room left on the disk (\(operation) \(path)): free some space; intake goes on by itself then"
    case .refused(let operation, let path, let code):
      "\(operation) \(path): \(SpoolError.text(code)): check the folder's owner, permissions and limits"
    case .failed(let operation, let path, let code):
      "\(operation) \(path): \(SpoolError.text(code)): the spool has stopped, since nobody knows what reached the disk. "
        + "Check the disk and the kernel's log, then restart; nothing answered 250 before this is lost"
    case .damaged(let range, let fault):
      "segment \(range.segment), octets \(range.offset) to \(range.offset &+ range.length): \(fault)"
    }
  }

  /// The failed call's errno as a person reads it.
  static func text(_ code: Int32) -> String {
    guard let text = unsafe strerror(code) else { return "error \(code)" }
    return unsafe String(cString: text) + " (errno \(code))"
  }

  /// A call that failed before anything depended on it: full or refused, and no harm done.
  static func harmless(_ operation: String, _ path: String, _ code: Int32) -> SpoolError {
    code == ENOSPC || code == EDQUOT ? .full(operation: operation, path: path) : .refused(operation: operation, path: path, code: code)
  }
}

/// What is wrong with a range of the spool.
public enum SpoolFault: Sendable, Equatable, CustomStringConvertible {
  /// There is no such segment file.
  case missingSegment
  /// The segment file could not be opened or mapped.
  case unreadableSegment(code: Int32)
  /// The file's header is damaged, or it is another segment's.
  case foreignSegment
  /// The segment file was written by a version that this one does not know.
  case unknownVersion(UInt32)
  /// The range lies beyond what was written.
  case outOfBounds
  /// No record of the segment holds the range: the chain of records ends before it.
  case noRecord
  /// The record that holds the range has a version or code that this version does not know.
  case unknownRecord(version: UInt8, code: UInt8)
  /// The record's octets are not those that were written.
  case checksum
  /// The record does not end where its length says.
  case endMark

  public var description: String {
    switch self {
    case .missingSegment: "the segment file is missing"
    case .unreadableSegment(let code): "the segment file cannot be read: \(SpoolError.text(code))"
    case .foreignSegment: "the segment file's header is damaged or belongs to another segment"
    case .unknownVersion(let version): "the segment file has format version \(version), which this program does not know: use a newer one"
    case .outOfBounds: "beyond the end of the segment"
    case .noRecord: "no record holds these octets"
    case .unknownRecord(let version, let code):
      "record of version \(version) and code \(code), which this program does not know: use a newer one"
    case .checksum: "the checksum does not match: the octets were changed on disk"
    case .endMark: "the record's end mark is missing"
    }
  }
}
