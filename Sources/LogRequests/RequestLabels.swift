/// The words before a colon by which people name the parts of a request.
enum RequestLabels {
  /// A part of the form; a range may come as two lines.
  enum Label: Hashable {
    case field(LogRequestField)
    case firstDay
    case lastDay
  }

  private static let words: [(Label, [String])] = [
    (
      .field(.sender),
      ["mittente", "mitt", "da", "from", "sender", "inviato da", "spedito da", "sent by", "casella mittente", "casella del mittente"]
    ),
    (
      .field(.recipient),
      [
        "destinatario", "destinatari", "dest", "a", "to", "recipient", "recipients", "inviato a", "spedito a", "indirizzato a", "sent to",
        "casella destinatario", "casella destinataria", "casella del destinatario",
      ]
    ),
    (
      .field(.day),
      [
        "data", "date", "day", "giorno", "giorni", "periodo", "period", "data invio", "data di invio", "data dell invio", "data spedizione",
        "data di spedizione", "data del messaggio", "data messaggio", "data e ora", "data o periodo", "data ricezione", "data di ricezione",
        "giorno di invio", "in data", "date sent", "dates", "sent on", "inviato il", "spedito il",
      ]
    ),
    (.firstDay, ["dal", "dal giorno", "data inizio", "data iniziale", "inizio", "from day", "since", "start date"]),
    (.lastDay, ["al", "al giorno", "data fine", "data finale", "fine", "until", "end date"]),
    (.field(.subject), ["oggetto", "subject", "ogg", "oggetto del messaggio", "oggetto messaggio"]),
    (
      .field(.identifier),
      [
        "identificativo", "identificativo messaggio", "identificativo del messaggio", "identificativo pec", "identificativo della pec",
        "identificatore", "identificatore messaggio", "identifier", "id", "id messaggio", "id del messaggio", "id pec", "message id",
        "messageid", "msgid", "pec id", "x riferimento message id", "codice identificativo",
      ]
    ),
    (
      .field(.name),
      [
        "nominativo", "nome", "nome e cognome", "cognome e nome", "cognome nome", "titolare", "intestatario", "richiedente", "name",
        "holder", "full name", "titolare della casella",
      ]
    ),
  ]

  private static let table: [String: Label] = {
    var table: [String: Label] = [:]
    for (label, names) in words { for name in names { table[name] = label } }
    return table
  }()

  /// Words that say nothing more in a label: "indirizzo PEC del mittente".
  private static let idle: Set<String> = [
    "indirizzo", "pec", "email", "mail", "e", "address", "del", "della", "the", "of", "posta", "il", "lo", "la",
  ]

  /// What a label names, written as people write labels: marks of lists and emphasis, remarks in brackets and case do not count.
  static func label(_ text: some StringProtocol) -> Label? {
    let words = plainWords(text)
    guard !words.isEmpty, words.count <= 8 else { return nil }
    if let label = table[words.joined(separator: " ")] { return label }
    let kept = words.filter { !idle.contains($0) }
    return kept.isEmpty ? nil : table[kept.joined(separator: " ")]
  }

  private static func plainWords(_ text: some StringProtocol) -> [String] {
    var words: [String] = []
    var word = ""
    var depth = 0
    for scalar in Folding.fold(text).unicodeScalars {
      if scalar == "(" || scalar == "[" { depth += 1 }
      if depth == 0, scalar.properties.isAlphabetic {
        word.unicodeScalars.append(scalar)
      } else {
        if !word.isEmpty { words.append(word) }
        word = ""
      }
      if scalar == ")" || scalar == "]" { depth = max(0, depth - 1) }
    }
    if !word.isEmpty { words.append(word) }
    return words
  }

  /// Characters of a line in which a label is looked for, and marks behind which one may end.
  private static let labelLength = 90
  private static let mostMarks = 6

  /// The label that a line begins with, and what stands behind it; nil when it begins with none.
  static func split(_ line: String) -> (label: Label, value: String)? {
    let line = withoutBullet(Folding.tidied(line.replacing("\t", with: " : ")))
    let scalars = line.unicodeScalars
    var marks = 0
    for at in scalars.prefix(labelLength).indices where marks < mostMarks {
      let isMark = scalars[at] == ":" || scalars[at] == "=" || scalars[at] == "："
      let isDash = ["-", "–", "—"].contains(scalars[at])
      guard isMark || isDash else { continue }
      marks += 1
      let before = line[..<at]
      let after = line[scalars.index(after: at)...]
      // Of dashes only those with a space beside them part anything: "message-id" is one word.
      if isDash, !(before.hasSuffix(" ") || after.hasPrefix(" ")) { continue }
      guard let label = label(before), !isDash || before.utf8.count > 3 else { continue }
      return (label, value(after))
    }
    return bare(line)
  }

  /// A label without a mark behind it: alone on its line, as cells of tables come, or before what can only be its value.
  private static func bare(_ line: String) -> (label: Label, value: String)? {
    let words = line.split(separator: " ", maxSplits: 1)
    guard let first = words.first, line.utf8.count <= 300, let label = label(first), principal.contains(plainWords(first).joined()) else {
      return nil
    }
    guard words.count == 2 else { return (label, "") }
    switch label {
    case .field(.sender) where words[1].contains("@"), .field(.recipient) where words[1].contains("@"): return (label, value(words[1]))
    case .field(.day) where words[1].unicodeScalars.contains { "0"..."9" ~= $0 }: return (label, value(words[1]))
    default: return nil
    }
  }

  /// Without what lists and emphasis put before a line.
  private static func withoutBullet(_ line: String) -> String {
    let rest = line.unicodeScalars.drop { ["-", "*", "•", "·", "–", "—", "#", "+", "|", " ", "_", "►", "▪", "●", "○"].contains($0) }
    let digits = rest.prefix { "0"..."9" ~= $0 }
    let behind = rest.dropFirst(digits.count)
    if (1...2).contains(digits.count), behind.first == "." || behind.first == ")" {
      return withoutBullet(String(String.UnicodeScalarView(behind.dropFirst())))
    }
    return String(String.UnicodeScalarView(rest))
  }

  /// A value without the marks around it; empty for what people put where they have nothing to say.
  static func value(_ text: some StringProtocol) -> String {
    var scalars = Folding.tidied(text).unicodeScalars[...]
    while let first = scalars.first, [":", "*", " ", "|", "\"", "“", "”", "«", "»", "'", "‘", "’", "`", "=", "-", "–", "—"].contains(first)
    {
      scalars.removeFirst()
    }
    while let last = scalars.last, ["*", " ", "|", "\"", "“", "”", "«", "»", "'", "‘", "’", "`", ";", ","].contains(last) {
      scalars.removeLast()
    }
    let value = String(String.UnicodeScalarView(scalars))
    let letters = plainWords(value)
    let isEmpty = value.unicodeScalars.allSatisfy { ["_", ".", "-", "…", "/", "?", "[", "]", "(", ")", " "].contains($0) }
    let placeholder = value.hasPrefix("(") && value.hasSuffix(")") || value.hasPrefix("[") && value.hasSuffix("]") && !value.contains("@")
    if isEmpty || placeholder || nothings.contains(letters.joined(separator: " ")), !value.contains("@"), !value.contains(where: \.isNumber)
    {
      return ""
    }
    return value
  }

  private static let nothings: Set<String> = [
    "nessuno", "nessuna", "non noto", "non nota", "non lo so", "non conosciuto", "nd", "n d", "n a", "na", "none", "unknown", "sconosciuto",
    "facoltativo", "optional", "non disponibile",
  ]

  // MARK: Several on a line

  private static let principal: [String] = LogRequestField.allCases.map { Folding.fold($0.italian) }

  /// A line on which somebody wrote more than one part, cut before each label of the form.
  static func parted(_ line: String) -> [String] {
    guard let first = split(line), first.label != .field(.subject) else { return [line] }
    let folded = Array(Folding.fold(Folding.tidied(line)).unicodeScalars)
    let original = Array(Folding.tidied(line).unicodeScalars)
    // Folding may change the length of a line with rare letters: then it is left whole.
    guard folded.count == original.count else { return [line] }
    var cuts: [Int] = []
    for at in folded.indices.dropFirst() where [" ", ",", ";", "|"].contains(folded[at - 1]) {
      for word in principal where folded[at...].starts(with: word.unicodeScalars) {
        let behind = folded[(at + word.unicodeScalars.count)...].drop { $0 == " " }
        if behind.first == ":" { cuts.append(at) }
      }
    }
    guard !cuts.isEmpty else { return [line] }
    var out: [String] = []
    var start = 0
    for end in cuts + [original.count] {
      out.append(String(String.UnicodeScalarView(original[start..<end])))
      start = end
    }
    return out
  }
}
