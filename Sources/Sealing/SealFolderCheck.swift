import Digests
import Evidence
import Octets

/// Checks what the folder of one seal says by itself: its list of contents against its files, and its rows against its manifest.
struct SealFolderCheck {
  var store: SealStore
  var number: Int64

  /// Files that every seal has.
  private static let essential = [SealFileNames.manifest, SealFileNames.signature, SealFileNames.certificates]
  /// Files that go when their time is over.
  private static let rowFiles = [SealFileNames.rows, SealFileNames.chain]

  /// Files that no list names, of names that stamping gives: an interruption left them, or it goes on just now. They count for nothing.
  func leftovers() -> [String] {
    guard let listed = try? store.contents(number).digests, let there = try? names() else { return [] }
    let list = (try? store.additionsEdition(number)).flatMap { $0 }.map { SealFileNames.additions($0) }
    return there.filter { $0 != list && listed[$0] == nil && SealFolderCheck.isOfStamping($0) }.sorted()
  }

  private static func isOfStamping(_ name: String) -> Bool {
    let plain = name.hasSuffix(".new") ? String(name.dropLast(4)) : name
    return plain == SealFileNames.stamp || SealFileNames.isAuthority(plain) || SealFileNames.evidenceEdition(plain) != nil
      || SealFileNames.additionsEdition(plain) != nil
  }

  /// - Parameters:
  ///   - manifest: nil when it could not be read: then rows are compared with nothing but the list.
  ///   - mayLackRows: whether the time of the rows is over.
  func faults(manifest: SealManifest?, mayLackRows: Bool) -> [SealFault] {
    var faults: [SealFault] = []
    func add(_ file: String, _ words: String) { faults.append(SealFault(seal: number, file: file, words: words)) }
    var contents = SealContents([:])
    var lists = [SealFileNames.contents]
    let there: Set<String>
    do {
      there = Set(try names())
      if let edition = try store.additionsEdition(number) { lists.append(SealFileNames.additions(edition)) }
    } catch {
      return [SealFault(seal: number, words: error.words)]
    }
    for list in lists {
      do {
        for (name, digest) in try store.contents(number, list).digests where contents.digests.updateValue(digest, forKey: name) != nil {
          add(list, "it names \(name), which another list names")
        }
      } catch {
        add(list, error.words)
        // What it names cannot be known; rows can be checked all the same.
        return faults + rowFaults(manifest, mayLackRows: mayLackRows)
      }
    }
    for name in Set(SealFolderCheck.essential + SealFolderCheck.rowFiles).sorted() where contents.digests[name] == nil {
      add(SealFileNames.contents, "it does not name \(name)")
    }
    for (name, digest) in contents.digests.sorted(by: { $0.key < $1.key }) {
      guard there.contains(name) else {
        if !(mayLackRows && SealFolderCheck.rowFiles.contains(name)) { add(name, "it is not there, and \(list(of: name, lists)) names it") }
        continue
      }
      do {
        if try self.digest(name) != digest { add(name, "it is not what \(list(of: name, lists)) says: one of the two was changed") }
      } catch {
        add(name, error.words)
      }
    }
    for name in there.subtracting(contents.digests.keys).sorted() where !lists.contains(name) && !SealFolderCheck.isOfStamping(name) {
      add(name, "it was added: \(lists.joined(separator: " and ")) \(lists.count == 1 ? "does" : "do") not name it")
    }
    return faults + rowFaults(manifest, mayLackRows: mayLackRows)
  }

  /// The list that names a file.
  private func list(of name: String, _ lists: [String]) -> String {
    lists.first { (try? store.contents(number, $0).digests[name]) != nil } ?? SealFileNames.contents
  }

  /// Every file in the folder, those of its folder of revocation lists with their paths.
  private func names() throws(SealingError) -> [String] {
    var names: [String] = []
    for name in try DurableFiles.names(in: store.folder(number)) {
      let path = store.file(number, name)
      guard DurableFiles.isFolder(path) else {
        names.append(name)
        continue
      }
      let inside = try DurableFiles.names(in: path)
      names += inside.isEmpty ? [name] : inside.map { "\(name)/\($0)" }
    }
    return names
  }

  private func digest(_ name: String) throws(SealingError) -> String {
    let stream = SHA256Stream()
    try DurableFiles.pieces(of: store.file(number, name)) { piece in stream.update(piece) }
    return Hex.encode(stream.finish())
  }

  /// What is wrong with the rows, by row.
  private func rowFaults(_ manifest: SealManifest?, mayLackRows: Bool) -> [SealFault] {
    guard let manifest else { return [] }
    let (rows, chain) = (store.file(number, SealFileNames.rows), store.file(number, SealFileNames.chain))
    if mayLackRows, !DurableFiles.exists(rows), !DurableFiles.exists(chain) { return [] }
    var check = SealedRowsCheck(manifest)
    do {
      try DurableFiles.pieces(of: rows) { piece in check.feed(rows: piece) }
      try DurableFiles.pieces(of: chain) { piece in check.feed(chain: piece) }
    } catch {
      // That a file is missing or unreadable is said where it is compared with the list.
      return [SealFault(seal: number, file: nil, words: "its rows cannot be checked: \(error.words)")]
    }
    return check.finish().map { fault in
      SealFault(
        seal: number, row: fault.row, file: fault.kind == .chainChanged ? SealFileNames.chain : SealFileNames.rows,
        words: "\(fault.kind.rawValue): \(fault.detail)")
    }
  }
}

extension SealingError {
  /// What is wrong, without the path, where that is said already.
  var words: String {
    switch self {
    case .file(let operation, _, let reason): "it cannot be \(operation == "read" ? "read" : "used (\(operation))"): \(reason)"
    case .tooLarge(_, let bytes): "it has more than \(bytes) octets"
    case .damaged(_, let words), .ledger(let words), .signing(let words), .extract(let words): words
    case .brokenChain: description
    }
  }
}
