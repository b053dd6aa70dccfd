internal import Foundation
internal import Journey
internal import Octets

/// What rows of the log are found by: each searchable value as a number of 32 bits.
///
/// Two values may have the same number; a row that is found is looked at before it is shown. The numbers stand in the file: how they
/// are made is never changed.
enum LogTerms {
  /// What a value is. The same text means different things as a sender and as a recipient.
  enum Field: UInt8 {
    case sender = 0x73
    case recipient = 0x72
    case clientMessageID = 0x6D
    case word = 0x77
    case provider = 0x70
    case kind = 0x6B
    case error = 0x65
    case relatedID = 0x69
  }

  static let subjectWords = 40
  static let wordCharacters = 2...32

  /// FNV-1a, its halves folded together.
  static func term(_ field: Field, _ value: String) -> UInt32 {
    var hash = Hash(field)
    let octets = value.utf8.span
    switch field {
    case .sender, .recipient: for index in octets.indices { hash.add(ASCII.lower(octets[index])) }
    case .clientMessageID, .word, .provider, .kind, .error, .relatedID: for index in octets.indices { hash.add(octets[index]) }
    }
    return hash.term
  }

  private struct Hash {
    private var state: UInt64

    init(_ field: Field) { state = (0xCBF2_9CE4_8422_2325 ^ UInt64(field.rawValue)) &* 0x100_0000_01B3 }

    mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }

    var term: UInt32 { UInt32(truncatingIfNeeded: ((state ^ state >> 29) &* 0xBF58_476D_1CE4_E5B9) >> 32) }
  }

  /// Terms in the order in which they came, none of them twice.
  private struct Terms {
    private(set) var all: [UInt32] = []
    private var seen: Set<UInt32> = []

    init() { all.reserveCapacity(12) }

    mutating func add(_ term: UInt32) {
      // Almost all rows have few, among which a look is cheaper than a set.
      if all.count < 32 {
        if !all.contains(term) { all.append(term) }
      } else {
        if seen.isEmpty { seen = Set(all) }
        if seen.insert(term).inserted { all.append(term) }
      }
    }
  }

  /// What all rows of a message have in common.
  static func facts(of event: EventRecord) -> [UInt32] {
    var terms = Terms()
    terms.add(term(.sender, LedgerColumns.text(event.sender)))
    terms.add(term(.provider, LedgerColumns.text(event.provider)))
    if let id = event.clientMessageID { terms.add(term(.clientMessageID, LedgerColumns.text(id))) }
    if let subject = event.subject { for term in wordTerms(LedgerColumns.text(subject)) { terms.add(term) } }
    return terms.all
  }

  /// What is a row's own.
  static func own(of event: EventRecord) -> [UInt32] {
    var terms = Terms()
    terms.add(term(.kind, event.kind.rawValue))
    if let recipient = event.recipient {
      terms.add(term(.recipient, LedgerColumns.text(recipient)))
    } else {
      for recipient in event.recipients { terms.add(term(.recipient, LedgerColumns.text(recipient.address))) }
    }
    for id in event.relatedIDs { terms.add(term(.relatedID, LedgerColumns.text(id))) }
    if let error = event.error { terms.add(term(.error, LedgerColumns.text(error))) }
    return terms.all
  }

  /// The terms of `words(text)`. Only what is not ASCII between two gaps is made into words first: that costs ten times as much, and is
  /// done for each message.
  static func wordTerms(_ text: String) -> [UInt32] {
    let octets = Array(text.utf8)
    var terms: [UInt32] = []
    var start = 0
    while start < octets.count, terms.count < subjectWords {
      var hash = Hash(.word)
      var end = start
      var isASCII = true
      while end < octets.count, octets[end] >= 128 || isWord(octets[end]) {
        if octets[end] >= 128 { isASCII = false }
        if end - start < wordCharacters.upperBound { hash.add(ASCII.lower(octets[end])) }
        end += 1
      }
      if !isASCII {
        for word in words(String(decoding: octets[start..<end], as: UTF8.self)) {
          let term = term(.word, word)
          if terms.count < subjectWords, !terms.contains(term) { terms.append(term) }
        }
      } else if end - start >= wordCharacters.lowerBound, !terms.contains(hash.term) {
        terms.append(hash.term)
      }
      start = end + 1
    }
    return terms
  }

  /// True for letters and digits.
  private static func isWord(_ byte: UInt8) -> Bool {
    ASCII.lower(byte) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
  }

  /// The words of a subject by which it is found: in lower case, without accents, no word twice.
  static func words(_ text: String) -> [String] {
    // Almost all are ASCII, or nearly; the rest goes through Unicode's tables.
    let isASCII = text.utf8.allSatisfy { $0 < 128 }
    let folded = isASCII ? text : text.lowercased().decomposedStringWithCanonicalMapping
    var found: [String] = []
    var word = String.UnicodeScalarView()
    var length = 0
    func end() {
      if wordCharacters.contains(min(length, wordCharacters.upperBound)) {
        let made = String(word)
        if !found.contains(made) { found.append(made) }
      }
      word = String.UnicodeScalarView()
      length = 0
    }
    for scalar in folded.unicodeScalars {
      switch part(of: scalar) {
      case .letter(let letter):
        if length < wordCharacters.upperBound { word.append(letter) }
        length += 1
      case .accent: continue
      case .gap:
        if length > 0 { end() }
        if found.count == subjectWords { return found }
      }
    }
    if length > 0 { end() }
    return found
  }

  private enum WordPart {
    case letter(Unicode.Scalar)
    case accent
    case gap
  }

  private static func part(of scalar: Unicode.Scalar) -> WordPart {
    if scalar.isASCII {
      let byte = UInt8(scalar.value)
      return isWord(byte) ? .letter(Unicode.Scalar(ASCII.lower(byte))) : .gap
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return .accent
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .spacingMark, .decimalNumber,
      .letterNumber, .otherNumber:
      return .letter(scalar)
    default: return .gap
    }
  }
}

/// Where terms stand in the log, by blocks of consecutive rows.
///
/// A posting says that a term holds of a row and of up to 255 that follow it: the rows of a message that are stored together share most
/// of their terms. It is 56 bits: term (32), row in its block (16), further rows (8), and stands in the file as 7 octets, the highest
/// first. Adding a row costs the same however long the log is, because what a commit adds is stored in one piece; when a block is full,
/// its pieces are put in order once.
enum LogPostings {
  static let width = 7
  /// Rows of a block: 2 to this power.
  static let blockBits: Int64 = 15
  static let blockRows: Int64 = 1 << blockBits
  /// Parts of a block in order: a term stands in the part that its highest bits name.
  static let parts: Int64 = 512
  /// A term with so many postings in a full block has its rows stored as a set there: that is smaller, and read faster. Such terms would
  /// also make the parts large in which rare ones are looked for.
  static let frequent = 512

  static func block(of number: Int64) -> Int64 { number >> blockBits }
  static func offset(of number: Int64) -> Int { Int(number & (blockRows - 1)) }
  static func part(of term: UInt32) -> Int64 { Int64(term >> 23) }

  /// Where a frequent term's rows of a block are.
  static func place(of term: UInt32, in block: Int64) -> Int64 { block << 32 | Int64(term) }

  static func posting(_ term: UInt32, from offset: Int, count: Int) -> UInt64 {
    UInt64(term) << 24 | UInt64(offset) << 8 | UInt64(count - 1)
  }

  static func encode(_ postings: some Collection<UInt64>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(postings.count * width)
    for posting in postings {
      for shift in stride(from: 48, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: posting >> UInt64(shift))) }
    }
    return out
  }

  /// The posting that begins at an octet; its seven octets must be there.
  static func read(_ octets: [UInt8], at start: Int) -> UInt64 {
    var posting: UInt64 = 0
    for index in start..<start + width { posting = posting << 8 | UInt64(octets[index]) }
    return posting
  }

  static func decode(_ octets: [UInt8], into postings: inout [UInt64]) {
    for start in stride(from: 0, through: octets.count - width, by: width) { postings.append(read(octets, at: start)) }
  }

  /// In the order of terms; postings of a term stay in the order they had. (Counting by octets: a tenth of a comparing sort's time.)
  static func sorted(_ postings: [UInt64]) -> [UInt64] {
    var from = postings
    var to = postings
    for shift: UInt64 in [24, 32, 40, 48] {
      var places = [Int](repeating: 0, count: 257)
      for posting in from { places[Int((posting >> shift) & 255) + 1] += 1 }
      for digit in 1..<257 { places[digit] += places[digit - 1] }
      for posting in from {
        let digit = Int((posting >> shift) & 255)
        to[places[digit]] = posting
        places[digit] += 1
      }
      swap(&from, &to)
    }
    return from
  }

  /// The index of the first of ordered postings whose term is not below this one.
  static func lowerBound(of term: UInt32, in octets: [UInt8]) -> Int {
    var (low, high) = (0, octets.count / width)
    while low < high {
      let middle = (low + high) / 2
      if UInt32(truncatingIfNeeded: read(octets, at: middle * width) >> 24) < term { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// A set of rows of one block.
struct BlockRows {
  private var words: [UInt64]

  /// No rows.
  init() { words = [UInt64](repeating: 0, count: Int(LogPostings.blockRows) / 64) }

  var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  /// Adds what a posting says. Rows beyond the block, which only a damaged file names, are left out.
  mutating func insert(_ posting: UInt64) {
    let first = Int((posting >> 8) & 0xFFFF)
    insert(first...first + Int(posting & 0xFF))
  }

  /// Adds what postings in a file's octets say, of whichever terms they are.
  mutating func insert(_ octets: [UInt8], postings: Range<Int>) {
    var start = postings.lowerBound * LogPostings.width
    for _ in postings {
      let offset = Int(octets[start + 4]) << 8 | Int(octets[start + 5])
      let further = Int(octets[start + 6])
      start += LogPostings.width
      // Most are about one row.
      if further == 0, offset >> 6 < words.count {
        words[offset >> 6] |= 1 << UInt64(offset & 63)
      } else {
        insert(offset...offset + further)
      }
    }
  }

  /// Adds a set as `octets` wrote it; one of another length, which only a damaged file has, adds nothing.
  mutating func insert(_ octets: [UInt8]) {
    guard octets.count == words.count * 8 else { return }
    for index in words.indices {
      var word: UInt64 = 0
      for start in stride(from: index * 8 + 7, through: index * 8, by: -1) { word = word << 8 | UInt64(octets[start]) }
      words[index] |= word
    }
  }

  /// The rows as bits, the first row's the lowest of the first octet.
  var octets: [UInt8] { words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) } } }

  mutating func insert(_ offsets: ClosedRange<Int>) {
    let last = min(offsets.upperBound, Int(LogPostings.blockRows) - 1)
    var offset = max(0, offsets.lowerBound)
    while offset <= last {
      let end = min(last, offset | 63)
      let count = UInt64(end - offset + 1)
      words[offset >> 6] |= (count == 64 ? .max : (1 << count) - 1) << UInt64(offset & 63)
      offset = end + 1
    }
  }

  mutating func formIntersection(_ other: BlockRows) { for index in words.indices { words[index] &= other.words[index] } }

  /// All rows in order.
  func offsets(descending: Bool) -> [Int] {
    var found: [Int] = []
    for index in words.indices {
      var word = words[index]
      while word != 0 {
        found.append(index << 6 | word.trailingZeroBitCount)
        word &= word - 1
      }
    }
    return descending ? found.reversed() : found
  }
}
