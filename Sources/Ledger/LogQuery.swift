public import Journey
public import PEC

/// What is asked of the certified log (`pec-rules` 9.5). All that is given must hold of a row; an empty query means every row.
///
/// Each row of a message bears the facts of its original (sender, subject, client's Message-ID, provider), so one row decides by itself.
/// Addresses are compared without regard to the case of ASCII letters, subject words without regard to case and accents, the rest exactly.
public struct LogQuery: Sendable, Equatable {
  /// Reverse path of the original.
  public var sender: String?
  /// A recipient. A row about one recipient fits when he is the one; any other row fits when he is among the original's recipients.
  public var recipient: String?
  /// An address that is the sender or a recipient, in the sense of the two above.
  public var party: String?
  /// Words of the subject, all of which must be there: whole words. Texts of several words count as these words; words of one
  /// character are passed over, and of a longer word than 32 characters the first 32 count. Of a subject the first 40 words are known.
  public var words: [String]
  /// PEC id of the transaction, without angle brackets.
  public var pecID: String?
  /// Client's Message-ID with its angle brackets.
  public var clientMessageID: String?
  /// Message-ID (without brackets) of a message that the event made or moved.
  public var relatedID: String?
  /// Types of event, any of which will do; empty for all.
  public var kinds: Set<EventKind>
  /// Name of the sending provider.
  public var provider: String?
  /// `errore` of the certification data.
  public var error: String?
  /// First day of legal time; nil for no bound.
  public var from: LegalDay?
  /// Last day of legal time, included; nil for no bound.
  public var to: LegalDay?
  /// True for the rows with the highest numbers first.
  public var newestFirst: Bool
  /// How many rows a page has at the most; held between 1 and 100,000.
  public var limit: Int
  /// Where the page before ended; nil for the first.
  public var cursor: LogCursor?

  /// A query for what is given.
  public init(
    sender: String? = nil, recipient: String? = nil, party: String? = nil, words: [String] = [], pecID: String? = nil,
    clientMessageID: String? = nil, relatedID: String? = nil, kinds: Set<EventKind> = [], provider: String? = nil, error: String? = nil,
    from: LegalDay? = nil, to: LegalDay? = nil, newestFirst: Bool = false, limit: Int = 1000, cursor: LogCursor? = nil
  ) {
    self.sender = sender
    self.recipient = recipient
    self.party = party
    self.words = words
    self.pecID = pecID
    self.clientMessageID = clientMessageID
    self.relatedID = relatedID
    self.kinds = kinds
    self.provider = provider
    self.error = error
    self.from = from
    self.to = to
    self.newestFirst = newestFirst
    self.limit = limit
    self.cursor = cursor
  }
}

/// A place in the log where a search goes on. It stays meaningful while rows are added and purged.
public struct LogCursor: Sendable, Equatable, Codable {
  /// Number of the last row that was looked at.
  public var number: Int64

  /// The place after that row, in the direction of the search.
  public init(number: Int64) { self.number = number }
}

/// Some rows that fit a query, in the order of their numbers, or the reverse when the newest were asked for first.
public struct LogPage: Sendable, Equatable {
  public var rows: [EventRecord]
  /// Where the next page goes on; nil when there is no more. A page may have fewer rows than its limit, even none, and still be followed
  /// by another: each looks at a bounded part of the log.
  public var next: LogCursor?
}

/// A day of the log.
public struct LogDay: Sendable, Equatable {
  public var day: LegalDay
  /// First and last of its rows that are there. Rows of the days beside it may stand between them: the hour of a row is that of its
  /// transaction, and transactions are not stored in the order in which they began.
  public var first: Int64
  public var last: Int64
  /// How many of its rows are there.
  public var events: Int
}

/// A day in numbers, for the supervisor's statistics (`pec-rules` 9.6).
public struct DayStatistics: Sendable, Equatable {
  public var day: LegalDay
  /// Rows of each type; purged rows are counted still. Types without a row are not named.
  public var counts: [EventKind: Int]
  /// Mailboxes in service for each domain, as last counted on that day.
  public var mailboxes: [String: Int]
}

/// A change of state of a request for an extract.
public struct LogRequestStep: Sendable, Equatable {
  public var state: LogRequestRecord.State
  /// Unix seconds.
  public var at: Int64
  /// What came of it, for people.
  public var outcome: String
}
