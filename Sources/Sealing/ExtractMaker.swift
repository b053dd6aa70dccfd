import Digests
import Evidence
public import Extracts
public import Journey
public import Ledger
import Octets
public import PEC
import PagePrinting
import SealedArchive
public import Signing
import TimeStamping

/// Makes extracts of the certified log (`pec-rules` 9.5): bundles that prove themselves, from the ledger's rows and the seals over them.
public struct ExtractMaker: Sendable {
  let ledger: any LedgerReading
  let store: SealStore
  let currentCredentials: @Sendable () -> SignerCredentials
  let provider: String
  let keep: @Sendable () -> KeptFiles

  /// A maker of extracts of one provider's log.
  /// - Parameters:
  ///   - credentials: what bundles are signed with; asked for anew for each, because a key may be exchanged while the gateway runs.
  ///   - provider: our own name.
  ///   - keep: revocation lists of the moment for the signature over the list of contents, and certificates beside the signer's own chain.
  public init(
    ledger: any LedgerReading, store: SealStore, credentials: @escaping @Sendable @autoclosure () -> SignerCredentials, provider: String,
    keep: (@Sendable () -> KeptFiles)? = nil
  ) {
    self.ledger = ledger
    self.store = store
    currentCredentials = credentials
    self.provider = provider
    self.keep = keep ?? { KeptFiles() }
  }

  /// What an extract is to hold.
  public struct Order: Sendable {
    /// For whom: a holder's address, or an authority in words.
    public var holder: String
    /// By whose order, in Italian words.
    public var reason: String
    /// What was asked, names and values in Italian.
    public var question: [(name: String, value: String)]
    /// The rows, whoever chose them: `ExtractFilter` for a holder.
    public var rows: [EventRecord]
    /// Rows that belong to the question and are left out (`ExtractFilter.Selection`).
    public var withheld: Int

    /// An order of these fields.
    public init(holder: String, reason: String, question: [(name: String, value: String)], rows: [EventRecord], withheld: Int = 0) {
      self.holder = holder
      self.reason = reason
      self.question = question
      self.rows = rows
      self.withheld = withheld
    }
  }

  /// The first of these rows that no seal covers yet: an extract with it is made after the next seal. Nil when all are sealed.
  public func unsealed(_ rows: [EventRecord]) throws(SealingError) -> Int64? {
    let last: Int64
    do { last = try ledger.lastSeal()?.last ?? 0 } catch { throw .ledger("\(error)") }
    return rows.compactMap(\.number).filter { $0 > last }.min()
  }

  /// The files of a bundle, signed.
  /// - Throws: `extract` when a row is not sealed yet, or there are too many; `damaged` when a seal does not hold, or a row is not what was
  ///   sealed: nothing is given away then.
  public func files(_ order: Order, at instant: Instant) throws(SealingError) -> [BundleFile] {
    let credentials = currentCredentials()
    let matter = try matter(order, signedBy: credentials, at: instant)
    do {
      let pdf = try PagePrinter.pdf(ExtractMaker.document(try matter.page(), matter))
      let bundle = try ExtractBundle(matter, pdf: pdf)
      let signature = try credentials.signedContent(bundle.contents, at: instant.unixSeconds)
      return bundle.files + [BundleFile(ExtractBundle.contentsSignatureName, signature)]
    } catch {
      throw error as? SealingError ?? .extract("\(error)")
    }
  }

  /// The files as a zip archive: the same files make the same octets.
  public static func archive(_ files: [BundleFile]) throws(SealingError) -> [UInt8] {
    do {
      return try PlainArchive.make(files.map { PlainArchive.Member(path: $0.path, octets: $0.octets) })
    } catch {
      throw .extract("\(error)")
    }
  }

  /// Writes the files as a zip archive that was not there before.
  public static func write(_ files: [BundleFile], archive path: String) throws(SealingError) {
    do { try PlainArchive.write(try archive(files), to: path) } catch { throw error as? SealingError ?? .extract("\(error)") }
  }

  /// Writes the files into a folder that was not there before.
  public static func write(_ files: [BundleFile], folder: String) throws(SealingError) {
    guard !DurableFiles.exists(folder) else { throw .file(operation: "make", path: folder, reason: "it is there already") }
    var folders: Set<String> = []
    for file in files {
      let parent = file.path.split(separator: "/").dropLast().joined(separator: "/")
      if folders.insert(parent).inserted { try DurableFiles.makeFolder(parent.isEmpty ? folder : "\(folder)/\(parent)") }
      try DurableFiles.write(file.octets, to: "\(folder)/\(file.path)")
    }
    for parent in folders { try DurableFiles.syncFolder(parent.isEmpty ? folder : "\(folder)/\(parent)") }
  }

  // MARK: Rows and proofs

  private func matter(_ order: Order, signedBy credentials: SignerCredentials, at instant: Instant) throws(SealingError) -> ExtractMatter {
    let events = order.rows.sorted { ($0.number ?? 0) < ($1.number ?? 0) }
    guard !events.isEmpty else { throw .extract("no rows were asked for") }
    guard events.count <= ExtractBundle.maximumRows else {
      throw .extract("\(events.count) rows were asked for, and an extract has \(ExtractBundle.maximumRows) at the most")
    }
    var rows: [ExtractRow] = []
    var proofs: [InclusionProof] = []
    var seals: [SealFiles] = []
    var rest = events[...]
    while let first = rest.first {
      let seal = try covering(first.number ?? 0)
      let these = rest.prefix { ($0.number ?? 0) <= seal.last }
      rest = rest.dropFirst(these.count)
      let proven = try prove(Array(these), seal)
      rows += proven.rows
      proofs += proven.proofs
      seals.append(try ExtractMaker.files(try store.seal(seal.number)))
    }
    let kept = keep()
    return ExtractMatter(
      holder: order.holder, order: order.reason, question: order.question, provider: provider, instant: instant, rows: rows, proofs: proofs,
      seals: seals, certificates: kept.certificates(of: credentials),
      revocationLists: kept.revocationLists.map { BundleFile($0.name, $0.octets) },
      withheld: order.withheld)
  }

  private func covering(_ row: Int64) throws(SealingError) -> SealRecord {
    let seal: SealRecord?
    do { seal = try ledger.seal(coveringRow: row) } catch { throw .ledger("\(error)") }
    guard let seal else { throw .extract("row \(row) is not sealed yet: make a seal first ('ceralacca seal now')") }
    return seal
  }

  /// Rows of one seal with their proofs, from the seal's own rows.
  private func prove(
    _ events: [EventRecord], _ record: SealRecord
  ) throws(SealingError) -> (rows: [ExtractRow], proofs: [InclusionProof]) {
    let seal = record.number
    let manifest = try store.manifest(seal)
    guard manifest.number == seal, manifest.digest == record.digest else {
      throw .damaged(seal: seal, words: "its manifest is not the one that the ledger remembers")
    }
    let asked = Dictionary(events.map { ($0.number ?? 0, $0) }) { first, _ in first }
    var leaves: [[UInt8]] = []
    var rows: [ExtractRow] = []
    var next = manifest.first
    try DurableFiles.lines(of: store.file(seal, SealFileNames.rows)) { line throws(SealingError) in
      leaves.append(EventChain.leaf(line))
      if let event = asked[next] {
        guard CanonicalEvent.octets(event) == line else {
          throw SealingError.damaged(seal: seal, words: "row \(next) of the ledger is not the one that was sealed")
        }
        rows.append(ExtractRow(event: event, canonical: line))
      }
      next += 1
      return Int64(leaves.count) < manifest.count
    }
    guard Int64(leaves.count) == manifest.count, Hex.encode(MerkleTree.root(leaves)) == manifest.root else {
      throw .damaged(seal: seal, words: "its rows are not those that it was made over: 'ceralacca seal verify' names them")
    }
    return (rows, InclusionProof.proofs(rows: rows.compactMap(\.event.number), in: manifest, leaves: leaves))
  }

  private static func files(_ seal: StoredSeal) throws(SealingError) -> SealFiles {
    var files = SealFiles(
      number: seal.number, manifest: seal.manifest, signed: seal.signature, evidenceRecord: seal.evidence,
      certificates: seal.certificates,
      revocationLists: seal.revocationLists.sorted { $0.key < $1.key }.map { BundleFile($0.key, $0.value) },
      stampAuthorities: seal.stampAuthorities)
    guard let stamp = seal.stamp else { return files }
    do {
      let token = try TimeStampToken(reading: stamp)
      files.stamps = [ExtractStamp(name: "marca-1.tst", token: stamp, unixSeconds: token.genTime, authority: token.authority)]
    } catch {
      throw .damaged(seal: seal.number, words: "stamp.tst: \(error)")
    }
    return files
  }

  // MARK: The printed page

  /// The page for people, as it is printed.
  static func document(_ page: ExtractPage, _ matter: ExtractMatter) -> PageDocument {
    let blocks = page.blocks.map { block -> PageBlock in
      switch block {
      case .heading(let words, let level): .heading(words, level: level)
      case .paragraph(let words): .paragraph(words)
      case .facts(let facts): .facts(facts.map { PageFact($0.name, $0.value) })
      case .table(let table):
        .table(PageTable(columns: table.columns.map { PageTable.Column($0.heading, share: $0.share) }, rows: table.rows))
      case .commands(let words): .fixed(words)
      }
    }
    return PageDocument(
      title: page.title, author: matter.provider, createdAt: matter.instant.rfc3339, header: matter.provider, footer: page.title,
      blocks: blocks)
  }
}
