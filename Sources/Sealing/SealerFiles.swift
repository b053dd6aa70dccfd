import Digests
import Evidence
import Foundation
import Journey
import Octets
import PEC
import Signing

/// The files of a new seal.
extension Sealer {
  /// Octets of rows that are gathered before they are written.
  private static let pieceBytes = 1 << 20

  /// Writes a seal's folder: under another name first, every file and folder synced, then renamed in one step.
  func write(_ start: Start, reason: SealReason, at instant: Instant) throws(SealingError) -> SealManifest {
    let folder = "\(store.path)/new-\(store.folderName(start.number))"
    let credentials = currentCredentials()
    // What an interrupted call left behind never was a seal.
    try DurableFiles.remove(folder)
    try DurableFiles.makeFolder(folder)
    var digests: [String: String] = [:]
    let manifest = try writeRows(start, folder: folder, reason: reason, at: instant, digests: &digests)
    var files = [(SealFileNames.manifest, manifest.octets)]
    do {
      files.append((SealFileNames.signature, try credentials.signedContent(manifest.octets, at: instant.unixSeconds)))
    } catch {
      throw .signing("\(error)")
    }
    let kept = keep()
    files.append((SealFileNames.certificates, kept.certificates(of: credentials)))
    let revocation = "\(folder)/\(SealFileNames.revocation)"
    if !kept.revocationLists.isEmpty { try DurableFiles.makeFolder(revocation) }
    files += kept.revocationLists.map { ("\(SealFileNames.revocation)/\($0.name)", $0.octets) }
    for (name, octets) in files {
      try DurableFiles.write(octets, to: "\(folder)/\(name)")
      digests[name] = Hex.encode(SHA256.digest(octets))
    }
    try DurableFiles.write(SealContents(digests).octets, to: "\(folder)/\(SealFileNames.contents)")
    if !kept.revocationLists.isEmpty { try DurableFiles.syncFolder(revocation) }
    try DurableFiles.syncFolder(folder)
    try DurableFiles.rename(folder, to: store.folder(start.number))
    return manifest
  }

  /// Writes rows and chain, comparing each row with the chain that the ledger has kept since it was written.
  private func writeRows(
    _ start: Start, folder: String, reason: SealReason, at instant: Instant, digests: inout [String: String]
  ) throws(SealingError) -> SealManifest {
    var rows = try PieceWriter(path: "\(folder)/\(SealFileNames.rows)")
    var chain = try PieceWriter(path: "\(folder)/\(SealFileNames.chain)")
    var writer = SealedRowsWriter(chainBefore: start.chain)
    try eachRow(start.first, start.last) { event, stored throws(SealingError) in
      let number = event.number ?? 0
      do {
        try writer.add(event, rows: &rows.piece, chainLines: &chain.piece)
      } catch {
        throw SealingError.brokenChain(row: number, words: "\(error)")
      }
      guard writer.chain == stored else {
        throw SealingError.brokenChain(row: number, words: "it does not lead to the chain value beside it")
      }
      try rows.flush(above: Sealer.pieceBytes)
      try chain.flush(above: Sealer.pieceBytes)
    }
    digests[SealFileNames.rows] = try rows.finish()
    digests[SealFileNames.chain] = try chain.finish()
    guard
      let manifest = writer.manifest(
        number: start.number, provider: provider, previous: start.previous, madeAt: instant, reason: reason.rawValue)
    else { throw .brokenChain(row: start.first, words: "it is missing") }
    return manifest
  }

  // MARK: After an interruption

  /// A folder that stands where the next one goes: a crash came between its files and the commit, or the ledger is older than it (restored
  /// from a copy). It is taken when everything in it holds and it covers rows that still are what they were then; otherwise it is moved
  /// aside, and never removed: somebody may have to explain it.
  func adopt(_ start: Start) throws(SealingError) -> SealManifest? {
    guard DurableFiles.exists(store.folder(start.number)) else { return nil }
    if let manifest = try? store.manifest(start.number), fits(manifest, start) { return manifest }
    let names = Set(try DurableFiles.names(in: store.path))
    var copy = 1
    while names.contains("aside-\(store.folderName(start.number))-\(copy)") { copy += 1 }
    try DurableFiles.rename(store.folder(start.number), to: "\(store.path)/aside-\(store.folderName(start.number))-\(copy)")
    return nil
  }

  private func fits(_ manifest: SealManifest, _ start: Start) -> Bool {
    guard manifest.number == start.number, manifest.first == start.first, manifest.previous == start.previous,
      manifest.chainBefore == Hex.encode(start.chain), manifest.provider == provider,
      let chain = try? ledger.chain(after: manifest.last), manifest.chainAfter == Hex.encode(chain),
      let signature = try? store.read(start.number, SealFileNames.signature),
      let signed = try? SignedContent.open(
        signature, signers: [currentCredentials().certificate.der], anchors: nil, at: manifest.madeAt.unixSeconds),
      signed.content == manifest.octets
    else { return false }
    return SealFolderCheck(store: store, number: start.number).faults(manifest: manifest, mayLackRows: false).isEmpty
  }
}

/// Appends to a new file in pieces, and digests what goes into it.
private struct PieceWriter {
  /// What is not written yet.
  var piece: [UInt8] = []
  private let handle: FileHandle
  private let path: String
  private let digest = SHA256Stream()

  init(path: String) throws(SealingError) {
    self.path = path
    handle = try DurableFiles.create(path)
  }

  mutating func flush(above bytes: Int) throws(SealingError) {
    guard piece.count > bytes else { return }
    digest.update(piece)
    do { try handle.write(contentsOf: Data(piece)) } catch {
      throw .file(operation: "write", path: path, reason: "\(error.localizedDescription)")
    }
    piece.removeAll(keepingCapacity: true)
  }

  /// Makes the file durable.
  /// - Returns: its SHA-256 in hexadecimal.
  mutating func finish() throws(SealingError) -> String {
    try flush(above: 0)
    try DurableFiles.finish(handle, path: path)
    return Hex.encode(digest.finish())
  }
}
