import FoundationEssentials
import PEC

/// How the octets of an index become records: what must be signed, by whom, and how hashes are checked.
public struct IndexReading: Sendable {
  /// Opens a signed index (`.p7m`, RFC 6109 §4.5): its LDIF content, or an error that says why the signature is not accepted.
  public typealias Opening = @Sendable ([UInt8]) throws -> [UInt8]
  /// SHA-1 of octets, in lower-case hexadecimal.
  public typealias Digest = @Sendable ([UInt8]) -> String

  /// Refuse an index that is not signed.
  public var requiresSignature: Bool
  /// Used for whatever is not plain LDIF; nil when signatures cannot be checked.
  public var opening: Opening?
  /// Checks the records' hashes against their certificates; nil when that is not to be done.
  public var digest: Digest?

  /// A way of reading.
  public init(requiresSignature: Bool = false, opening: Opening? = nil, digest: Digest? = nil) {
    self.requiresSignature = requiresSignature
    self.opening = opening
    self.digest = digest
  }

  /// What reading gave; `failure` says why it is of no use.
  struct Attempt {
    var directory = ProviderDirectory.empty
    var problems: [IndexProblem] = []
    var octets: [UInt8] = []
    /// When the file was written, in Unix seconds; nil for what is no file.
    var writtenUnixSeconds: Int64?
    var failure: String?
  }

  /// Reads octets.
  func attempt(_ octets: [UInt8]) -> Attempt {
    if octets.isEmpty { return Attempt(failure: "the file is empty") }
    if octets.count > ProviderIndex.maximumBytes {
      return Attempt(failure: "it is larger than \(ProviderIndex.maximumBytes / 1_048_576) MB")
    }
    var content = octets
    if !IndexReading.looksPlain(octets) {
      if let opening {
        do { content = try opening(octets) } catch { return Attempt(octets: octets, failure: "its signature is not accepted: \(error)") }
      } else if IndexReading.looksDER(octets) {
        return Attempt(octets: octets, failure: "it is signed, and there are no signers that it could be checked against")
      }
    } else if requiresSignature {
      return Attempt(octets: octets, failure: "it is not signed")
    }
    if requiresSignature, opening == nil { return Attempt(octets: octets, failure: "its signature cannot be checked") }
    let (directory, problems) = ProviderDirectory.parse(ldif: content, digest: digest)
    return Attempt(
      directory: directory, problems: problems, octets: octets, failure: directory.isEmpty ? "no record of the file is usable" : nil)
  }

  /// Reads a file.
  func attempt(path: String) -> Attempt {
    switch IndexFiles.read(path) {
    case .failure(let failure): return Attempt(failure: failure.reason)
    case .success(let file):
      var attempt = attempt(file.octets)
      attempt.writtenUnixSeconds = file.writtenUnixSeconds
      return attempt
    }
  }

  /// Whether the octets begin as an LDIF file does: with a comment, a version or a record, after empty lines.
  static func looksPlain(_ octets: [UInt8]) -> Bool {
    var rest = octets[...]
    if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
    rest = rest.drop { $0 == 10 || $0 == 13 }
    guard let first = rest.first else { return true }
    if first == UInt8(ascii: "#") { return true }
    let word = String(decoding: rest.prefix(8), as: UTF8.self).lowercased()
    return word.hasPrefix("dn:") || word == "version:"
  }

  /// Whether the octets begin as a CMS structure in BER does.
  private static func looksDER(_ octets: [UInt8]) -> Bool { octets.count > 1 && octets[0] == 0x30 && octets[1] >= 0x80 }
}

/// Files of the index.
enum IndexFiles {
  struct File {
    var octets: [UInt8]
    var writtenUnixSeconds: Int64
  }

  struct Failure: Error {
    var reason: String
  }

  static func read(_ path: String) -> Result<File, Failure> {
    do {
      let attributes = try FileManager.default.attributesOfItem(atPath: resolved(path))
      // A pipe or device would be read for ever.
      guard attributes[.type] as? FileAttributeType == .typeRegular else { return .failure(Failure(reason: "\(path) is not a file")) }
      guard let size = attributes[.size] as? Int, size <= ProviderIndex.maximumBytes else {
        return .failure(Failure(reason: "\(path) is larger than \(ProviderIndex.maximumBytes / 1_048_576) MB"))
      }
      let written = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
      return .success(File(octets: Array(try Data(contentsOf: URL(filePath: path))), writtenUnixSeconds: Int64(written)))
    } catch {
      return .failure(Failure(reason: "\(path) cannot be read: \(describe(error))"))
    }
  }

  /// Writes by a temporary file and a rename, so that a crash leaves the old one or the new one; what a link names is replaced, not the
  /// link. Returns why it could not be.
  static func replace(_ path: String, with octets: [UInt8]) -> String? {
    if case .success(let old) = read(path), old.octets == octets { return nil }
    do {
      try Data(octets).write(to: URL(filePath: resolved(path)), options: .atomic)
      return nil
    } catch {
      return "\(path): \(describe(error))"
    }
  }

  /// Says by the file's date that it still holds.
  static func touch(_ path: String, unixSeconds: Int64) {
    let date = Date(timeIntervalSince1970: Double(unixSeconds))
    try? FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: resolved(path))
  }

  static func describe(_ error: any Error) -> String {
    if let posix = (error as? CocoaError)?.underlying as? POSIXError { return "\(posix.code)" }
    return "\(error)"
  }

  private static func resolved(_ path: String) -> String { URL(filePath: path).resolvingSymlinksInPath().path }
}
