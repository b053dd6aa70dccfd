public import Limits
public import MIMEStream
public import Octets
public import PEC

/// Reads a holder's mail to the log mailbox as a request for an extract (`pec-rules` 9.5).
///
/// Lines `Mittente: …`, `Destinatario: …`, `Data: …` and so on are looked for, in any order and as tolerantly as people write: other
/// words for the same, English ones, accents, tables, HTML, a form that was quoted in a reply and filled in there.
public enum LogRequestReader {
  /// Reads the original of a request, whole: what its certified sender wrote.
  public static func read(
    _ original: Chunk, asker: String, mailbox: String, today: LegalDay, limits: MessageLimits = MessageLimits()
  ) -> LogRequestReading {
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: [], checksLines: false)
    original.withSpan { walker.feed($0) }
    return read(original, facts: walker.finish(), asker: asker, mailbox: mailbox, today: today)
  }

  /// A mail that is too large to be read, of which the beginning is at hand: what its header says of it decides whether it is answered.
  public static func tooLarge(
    _ beginning: Chunk, asker: String, mailbox: String, limits: MessageLimits = MessageLimits()
  ) -> LogRequestReading {
    var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: [], checksLines: false)
    beginning.withSpan { walker.feed($0) }
    if let reason = AutomaticMail.reason(walker.finish(), asker: asker, mailbox: mailbox) { return .automatic(reason) }
    return .unclear(
      LogRequestQuestion(), missing: [], problems: ["Il messaggio è troppo grande per essere letto: va inviato senza allegati."])
  }

  /// A mail that could not be read, by no fault of its writer's.
  public static let unreadable = LogRequestReading.unclear(
    LogRequestQuestion(), missing: [], problems: ["Per un problema tecnico il messaggio non è stato letto: va inviato di nuovo."])

  /// - Parameters:
  ///   - original: the octets of the mail as its writer handed it in.
  ///   - facts: what the walker found in these octets.
  ///   - asker: certified sender of the mail: who may see what he sent or got, and nothing else.
  ///   - mailbox: address of the log mailbox, which never answers itself.
  ///   - today: the day on which the mail came; a request about days to come is not understood.
  public static func read(
    _ original: Chunk, facts: MessageFacts, asker: String, mailbox: String, today: LegalDay
  ) -> LogRequestReading {
    if let reason = AutomaticMail.reason(facts, asker: asker, mailbox: mailbox) { return .automatic(reason) }
    var best = RequestForm()
    for body in RequestText.bodies(original, facts) {
      let form = RequestForm(RequestLines.lines(body), today: today)
      if best.found < form.found { best = form }
      if best.question.isEnough { break }
    }
    let question = best.question
    guard question.isEnough else { return .unclear(question, missing: question.missing, problems: best.problems) }
    return mayAsk(question, asker) ? .understood(question) : .notYours(question)
  }

  /// Whoever names a sender and a recipient must be one of them. With an identifier alone it is the rows that tell.
  private static func mayAsk(_ question: LogRequestQuestion, _ asker: String) -> Bool {
    guard let sender = question.sender, let recipient = question.recipient else { return true }
    return ASCII.equal(sender, asker) || ASCII.equal(recipient, asker)
  }
}

/// The form as somebody filled it in.
struct RequestForm {
  private(set) var question = LogRequestQuestion()
  /// What was there and could not be read, in Italian.
  private(set) var problems: [String] = []
  /// How much of the form was filled in, well or not.
  private(set) var found = 0

  private var values: [RequestLabels.Label: String] = [:]
  private var doubled: Set<RequestLabels.Label> = []

  private static let addressBytes = 320
  private static let identifierBytes = 900
  private static let subjectLength = 500
  private static let nameLength = 200

  init() {}

  /// What its writer wrote holds; what he left as his mail program quoted it fills in what is missing.
  init(_ lines: [RequestLine], today: LegalDay) {
    gather(lines.filter { !$0.isQuoted }, isQuoted: false)
    read(today)
    guard !question.isEnough else { return }
    let own = self
    gather(quotedForm(lines.filter(\.isQuoted)), isQuoted: true)
    question = LogRequestQuestion()
    problems = []
    read(today)
    if question.missing.count >= own.question.missing.count, own.found > 0 { self = own }
  }

  /// Of what is quoted, what stands from the form's first line on: above it are headers of the earlier message, which have an "Oggetto" too.
  private func quotedForm(_ lines: [RequestLine]) -> [RequestLine] {
    let start = lines.firstIndex { line in
      let words = Folding.fold(Folding.tidied(line.text))
      return [LogRequestField.sender, .identifier].contains { words.hasPrefix(Folding.fold($0.italian)) }
    }
    return start.map { Array(lines[$0...]) } ?? []
  }

  // MARK: Labels and values

  private mutating func gather(_ lines: [RequestLine], isQuoted: Bool) {
    var open: RequestLabels.Label?
    for line in lines {
      for piece in RequestLabels.parted(line.text) {
        guard let (label, value) = RequestLabels.split(piece) else {
          let text = RequestLabels.value(piece)
          if let label = open, !text.isEmpty {
            if RequestForm.fits(text, label) { put(text, label, isQuoted: isQuoted) }
            open = nil
          }
          continue
        }
        open = value.isEmpty ? label : nil
        if !value.isEmpty { put(value, label, isQuoted: isQuoted) }
      }
    }
  }

  private mutating func put(_ value: String, _ label: RequestLabels.Label, isQuoted: Bool) {
    guard let known = values[label] else {
      values[label] = value
      return
    }
    if !isQuoted, Folding.fold(known) != Folding.fold(value) { doubled.insert(label) }
  }

  /// Whether a line by itself can be the value of the label above it: what cannot be told from a greeting is left alone.
  private static func fits(_ text: String, _ label: RequestLabels.Label) -> Bool {
    switch label {
    case .field(.sender), .field(.recipient): text.contains("@")
    case .field(.identifier): text.contains("@") && !text.contains(" ")
    case .field(.day), .firstDay, .lastDay: text.contains(where: \.isNumber) && text.utf8.count <= 80
    case .field(.subject), .field(.name): false
    }
  }

  // MARK: Reading values

  private mutating func read(_ today: LegalDay) {
    question.sender = address(.sender)
    question.recipient = address(.recipient)
    readDays(today)
    question.subject = values[.field(.subject)].map { Folding.cut($0, RequestForm.subjectLength) }
    question.name = values[.field(.name)].map { Folding.cut($0, RequestForm.nameLength) }
    if let value = values[.field(.identifier)] {
      question.identifier = RequestForm.identifier(value)
      if question.identifier == nil { problems.append(unread(.identifier, value, "non è l'identificativo di un messaggio")) }
    }
    found = values.count
  }

  private func unread(_ field: LogRequestField, _ value: String, _ what: String) -> String {
    "\(field.italian): «\(Folding.cut(value, 80))» \(what)"
  }

  private mutating func address(_ field: LogRequestField) -> String? {
    guard let value = values[.field(field)] else { return nil }
    let addresses = RequestForm.addresses(value)
    guard let first = addresses.first else {
      problems.append(unread(field, value, "non è un indirizzo di posta elettronica"))
      return nil
    }
    guard addresses.count == 1, !doubled.contains(.field(field)) else {
      problems.append("\(field.italian): sono indicati più indirizzi; serve una richiesta per ciascuno")
      return nil
    }
    return first
  }

  /// The addresses in a text, each once: bare, in angle brackets, or with what mail programs add to a link.
  static func addresses(_ text: String) -> [String] {
    var found: [String] = []
    let breaks: Set<Unicode.Scalar> = ["<", ">", "(", ")", "[", "]", ",", ";", " ", "\"", "|", "*"]
    for piece in text.unicodeScalars.split(whereSeparator: { breaks.contains($0) }) where piece.contains("@") {
      var word = String(String.UnicodeScalarView(piece))
      if ASCII.lowercased(word).hasPrefix("mailto:") { word = String(word.dropFirst(7)) }
      while let last = word.last, [".", ":", "'", "?", "!"].contains(last) { word.removeLast() }
      guard word.utf8.count <= addressBytes, let mailbox = Mailbox.parsePath(word), mailbox.domain.contains(".") else { continue }
      if !found.contains(where: { ASCII.equal($0, mailbox.address) }) { found.append(mailbox.address) }
    }
    return found
  }

  /// One word of printable ASCII: in angle brackets, or with an "@", or the only one there is.
  static func identifier(_ text: String) -> String? {
    var word = text[...]
    if let open = text.firstIndex(of: "<"), let close = text[open...].firstIndex(of: ">") {
      word = text[text.index(after: open)..<close]
    } else if text.contains(" ") {
      guard let one = text.split(separator: " ").first(where: { $0.contains("@") }) else { return nil }
      word = one
    }
    while let last = word.last, [".", ",", ";", ":"].contains(last) { word = word.dropLast() }
    if ASCII.lowercased(String(word)).hasPrefix("mailto:") { word = word.dropFirst(7) }
    let isGood = word.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: ">") }
    guard (6...identifierBytes).contains(word.utf8.count), isGood, word.contains("@") || word.contains(where: \.isNumber) else {
      return nil
    }
    return String(word)
  }

  private mutating func readDays(_ today: LegalDay) {
    var value = values[.field(.day)]
    if value == nil, let first = values[.firstDay] { value = values[.lastDay].map { "\(first) al \($0)" } ?? first }
    guard let value else { return }
    if doubled.contains(.field(.day)) {
      problems.append("Data: sono indicati più giorni; si può indicare un periodo, dal … al …")
    } else if let (from, to) = RequestDates.days(value, today: today) {
      if from > to {
        problems.append(unread(.day, value, "finisce prima di cominciare"))
      } else if from > today {
        problems.append(unread(.day, value, "è nel futuro"))
      } else {
        (question.from, question.to) = (from, to)
      }
    } else {
      problems.append(unread(.day, value, "non è una data: scrivere per esempio \(today.italian)"))
    }
  }
}
