public import Extracts
import Journey
public import Ledger

/// Gathers what a holder may have of the log, message by message and page by page.
///
/// A row names all recipients of its message, and a mailing to a thousand of them has a thousand rows and more: what somebody asks for
/// in one line does not fit into memory, and must not be tried. At a bound nothing is given, and a person decides.
public struct HolderRows: Sendable {
  /// How much is gathered.
  public struct Bounds: Sendable {
    /// Messages that the question means, whoever they belong to.
    public var messages: Int
    /// Rows that are given.
    public var rows: Int
    /// Memory of the rows that are given, octets.
    public var bytes: Int
    /// Rows that are looked at, on all ways together.
    public var examined: Int

    /// Bounds of an extract.
    public init(
      messages: Int = .max, rows: Int = ExtractBundle.maximumRows, bytes: Int = 128 << 20, examined: Int = 300_000
    ) {
      self.messages = messages
      self.rows = rows
      self.bytes = bytes
      self.examined = examined
    }
  }

  /// What was found.
  public enum Outcome: Sendable, Equatable {
    /// The holder's rows in the order of their numbers, of so many messages, his or not.
    case rows(ExtractFilter.Selection, messages: Int)
    /// The question means more messages than the bound.
    case tooManyMessages
    /// There are more rows than a bound allows, or they name too many recipients.
    case tooManyRows
  }

  /// Rows of one page: each may name a thousand recipients.
  private static let pageRows = 100

  private let ledger: any LedgerReading
  private let holder: String
  private let bounds: Bounds
  private var messages: Set<String> = []
  private var selection = ExtractFilter.Selection(rows: [], withheld: 0)
  private var bytes = 0
  private var examined = 0

  private init(_ ledger: any LedgerReading, _ holder: String, _ bounds: Bounds) {
    (self.ledger, self.holder, self.bounds) = (ledger, holder, bounds)
  }

  /// A holder's rows of all messages of which a row fits one of these queries.
  public static func gather(
    _ queries: [LogQuery], for holder: String, from ledger: any LedgerReading, _ bounds: Bounds = Bounds()
  ) throws(LedgerError) -> Outcome {
    var rows = HolderRows(ledger, holder, bounds)
    // The messages are counted first: reading their rows costs far more.
    for query in queries {
      guard try rows.find(query) else { return rows.messages.count > bounds.messages ? .tooManyMessages : .tooManyRows }
    }
    for id in rows.messages.sorted() {
      guard try rows.add(id) else { return .tooManyRows }
    }
    rows.selection.rows.sort { ($0.number ?? 0) < ($1.number ?? 0) }
    return .rows(rows.selection, messages: rows.messages.count)
  }

  /// Finds the messages that a query means; false at a bound.
  private mutating func find(_ query: LogQuery) throws(LedgerError) -> Bool {
    var query = query
    query.limit = HolderRows.pageRows
    repeat {
      let page = try ledger.search(query)
      for row in page.rows where !row.pecID.isEmpty { messages.insert(row.pecID) }
      examined += page.rows.count
      if messages.count > bounds.messages || examined > bounds.examined { return false }
      query.cursor = page.next
    } while query.cursor != nil
    return true
  }

  /// Adds a message's rows; false at a bound.
  private mutating func add(_ id: String) throws(LedgerError) -> Bool {
    var query = LogQuery(pecID: id, limit: HolderRows.pageRows)
    let first = try ledger.search(query)
    // Any of its rows may say that nobody vouches for the message, the last one too.
    var unvouched = ExtractFilter.unvouched(first.rows)
    query.cursor = first.next
    while query.cursor != nil, unvouched.isEmpty {
      let page = try ledger.search(query)
      unvouched = ExtractFilter.unvouched(page.rows)
      query.cursor = page.next
      examined += page.rows.count
      if examined > bounds.examined { return false }
    }
    var page = first
    while true {
      guard take(page.rows, unvouched) else { return false }
      guard let next = page.next else { return true }
      query.cursor = next
      page = try ledger.search(query)
    }
  }

  private mutating func take(_ rows: [EventRecord], _ unvouched: Set<String>) -> Bool {
    let some = ExtractFilter.select(rows, for: holder, unvouched: unvouched)
    examined += rows.count
    selection.rows += some.rows
    selection.withheld += some.withheld
    for row in some.rows { bytes += HolderRows.bytes(row) }
    return examined <= bounds.examined && selection.rows.count <= bounds.rows && bytes <= bounds.bytes
  }

  /// About what a row takes in memory.
  private static func bytes(_ row: EventRecord) -> Int {
    row.recipients.reduce(1024 + (row.detail?.utf8.count ?? 0)) { $0 + $1.address.utf8.count + 64 }
  }
}
