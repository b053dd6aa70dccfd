import Octets

/// Reads a list of addresses (RFC 5322 §3.4, §4.4) in one pass.
///
/// Nothing recurses and nothing is looked for twice: a quote or a parenthesis without an end makes the rest of its kind ordinary
/// characters. At a fault the parser notes the first one and goes on, so that the mailboxes behind it are known all the same.
struct AddressParser {
  private var lexer: AddressLexer
  private let limit: Int
  private var list = AddressList(mailboxes: [], fault: nil, hasGroups: false)
  private var element = Element()
  private var inGroup = false
  private var afterGroup = false
  private var isFull = false
  private var firstFault: AddressFault?

  /// What was read of the element at the cursor.
  private struct Element {
    /// Words as a name that is shown, encoded words still inside.
    var phrase: [UInt8] = []
    /// Words joined by dots: the local part, if an "@" follows.
    var run = DottedRun()
    /// Runs so far; more than one before an "@" is a fault.
    var runs = 0
    /// The mailbox is complete; only a separator may follow.
    var isDone = false
    /// Its index in the list, for a name in a comment behind it.
    var mailbox: Int?
  }

  init(_ value: [UInt8], limit: Int) {
    lexer = AddressLexer(value)
    self.limit = max(0, limit)
  }

  mutating func run() -> AddressList {
    while !isFull {
      let token = lexer.next()
      if token == .end { break }
      take(token)
    }
    finishElement()
    if inGroup && !isFull { fault("a group without its closing semicolon") }
    // At the same place the fault of spelling says more.
    if let spelling = lexer.fault, firstFault.map({ spelling.at <= $0.at }) ?? true { tell(spelling) }
    if list.mailboxes.isEmpty && !list.hasGroups && list.fault == nil { fault("no address") }
    return list
  }

  /// The fault that stands first in the value is the one to tell; the text of another is not even made.
  private mutating func fault(_ text: @autoclosure () -> String) {
    if let known = firstFault, known.at <= lexer.tokenStart { return }
    tell(AddressFault(text: text(), at: lexer.tokenStart))
  }

  private mutating func tell(_ fault: AddressFault) {
    firstFault = fault
    list.fault = "\(fault.text) (octet \(fault.at + 1))"
  }

  private mutating func take(_ token: AddressToken) {
    switch token {
    case .end: break
    case .comma: separate()
    case .semicolon:
      finishElement()
      if !inGroup { fault("a semicolon between addresses") }
      afterGroup = inGroup
      inGroup = false
    case .atom, .quoted, .dot, .at, .open, .colon, .other: content(token)
    }
  }

  private mutating func separate() {
    finishElement()
    afterGroup = false
  }

  private mutating func content(_ token: AddressToken) {
    if afterGroup {
      fault("no comma after a group")
      afterGroup = false
    }
    if element.isDone {
      noteTrailing(token)
      return
    }
    switch token {
    case .atom(let word): takeWord(word)
    case .quoted(let word): takeWord(word)
    case .dot:
      addToPhrase([UInt8(ascii: ".")])
      if element.runs == 0 { element.runs = 1 }
      element.run.addDot()
    case .at: bareAddress()
    case .open: angleAddress()
    case .colon: beginGroup()
    case .other(let byte):
      fault("an unexpected \"\(Character(Unicode.Scalar(byte)))\"")
      takeWord([byte])
    case .end, .comma, .semicolon: break
    }
  }

  private mutating func takeWord(_ word: [UInt8]) {
    addToPhrase(word)
    if element.run.addWord(word) { element.runs += 1 }
  }

  private mutating func addToPhrase(_ word: [UInt8]) {
    if lexer.spaceBefore && !element.phrase.isEmpty { element.phrase.append(32) }
    element.phrase += word
  }

  /// `local@domain` without angle brackets; the cursor is behind the "@".
  private mutating func bareAddress() {
    let local = element.run
    if local.isEmpty { fault("no local part before \"@\"") }
    if local.isMalformed { fault("a misplaced dot before \"@\"") }
    if element.runs > 1 { fault("words before an address that has no angle brackets") }
    guard let domain = lexer.domain() else {
      fault("no domain after \"@\"")
      return endWithoutMailbox()
    }
    if lexer.opensAngle() {
      // `anna@alfa.example <anna@alfa.example>`: the name that is shown wants quotes.
      fault("an unquoted \"@\" in a name")
      element.phrase += [UInt8(ascii: "@")] + domain
      element.run = DottedRun()
      element.runs = 0
      return
    }
    if local.isEmpty { return endWithoutMailbox() }
    add(local: local.text, domain: domain, name: nil)
  }

  /// `<local@domain>`, perhaps with a route before it (RFC 5322 §4.4); the cursor is behind the "<".
  private mutating func angleAddress() {
    lexer.skipRoute()
    var local = DottedRun()
    var runs = 0
    while true {
      let token = lexer.nextInAngle()
      switch token {
      case .atom(let word), .quoted(let word):
        if local.addWord(word) { runs += 1 }
      case .dot: local.addDot()
      case .at:
        if local.isEmpty { fault("no local part before \"@\"") }
        if local.isMalformed { fault("a misplaced dot before \"@\"") }
        if runs > 1 { fault("white space in a local part") }
        guard let domain = lexer.domain() else {
          fault("no domain after \"@\"")
          lexer.leaveAngle()
          return endWithoutMailbox()
        }
        if !lexer.closesAngle() { fault("no \">\" after an address") }
        if local.isEmpty { return endWithoutMailbox() }
        return add(local: local.text, domain: domain, name: name())
      case .end, .comma, .semicolon, .colon, .open, .other:
        fault(local.isEmpty ? "an empty address in angle brackets" : "an address without a domain")
        lexer.leaveAngle()
        return endWithoutMailbox()
      }
    }
  }

  private func name() -> String? {
    let text = EncodedWord.decode(element.phrase).trimmed
    return text.isEmpty ? nil : text
  }

  private mutating func add(local: [UInt8], domain: [UInt8], name: String?) {
    element.isDone = true
    guard list.mailboxes.count < limit else {
      let most = limit
      fault("more than \(most) addresses")
      isFull = true
      return
    }
    element.mailbox = list.mailboxes.count
    list.mailboxes.append(
      Mailbox(displayName: name, localPart: HeaderText.guessed(local), domain: HeaderText.guessed(domain)))
  }

  private mutating func endWithoutMailbox() { element.isDone = true }

  private mutating func noteTrailing(_ token: AddressToken) {
    fault("text after an address")
    // The remains of an address in angle brackets are passed over as one.
    if token == .open { lexer.leaveAngle() }
  }

  private mutating func beginGroup() {
    if inGroup { fault("a group inside a group") }
    if element.phrase.isEmpty { fault("a group without a name") }
    inGroup = true
    list.hasGroups = true
    element = Element()
  }

  private mutating func finishElement() {
    // A name in a comment beside the address is the older custom.
    if let index = element.mailbox, list.mailboxes[index].displayName == nil, let comment = lexer.takeComment() {
      let text = EncodedWord.decode(comment).trimmed
      if !text.isEmpty { list.mailboxes[index].displayName = text }
    }
    if !element.isDone && !element.phrase.isEmpty {
      let phrase = element.phrase
      fault("no domain after \"\(AddressParser.excerpt(phrase))\"")
    } else if !element.isDone && element.runs > 0 {
      fault("an empty name without an address")
    }
    element = Element()
    lexer.forgetComment()
  }

  private static func excerpt(_ text: [UInt8]) -> String {
    ASCII.escaped(HeaderText.guessed(Array(text.prefix(64))))
  }
}

/// A fault and the offset of the octet where it was noticed.
struct AddressFault: Equatable {
  var text: String
  var at: Int
}

/// Words joined by dots, as a local part has them (RFC 5322 §3.4.1, §4.4: white space and comments may stand around the dots).
struct DottedRun {
  private(set) var text: [UInt8] = []
  private(set) var isMalformedInside = false
  private var last = Last.nothing

  private enum Last { case nothing, word, dot }

  /// True when there is neither word nor dot.
  var isEmpty: Bool { last == .nothing }
  /// True when a dot stands first, last, or beside another.
  var isMalformed: Bool { isMalformedInside || last == .dot }

  /// Adds a word; without a dot before it a new run begins, and the answer is true.
  mutating func addWord(_ word: [UInt8]) -> Bool {
    let begins = last != .dot
    if begins {
      text = []
      isMalformedInside = false
    }
    text += word
    last = .word
    return begins
  }

  mutating func addDot() {
    if last != .word { isMalformedInside = true }
    text.append(UInt8(ascii: "."))
    last = .dot
  }
}

extension String {
  /// Without white space around it.
  fileprivate var trimmed: String {
    var view = unicodeScalars[...]
    while let first = view.first, first == " " || first == "\t" { view.removeFirst() }
    while let last = view.last, last == " " || last == "\t" { view.removeLast() }
    return String(view)
  }
}
