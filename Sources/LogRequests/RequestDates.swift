internal import PEC

/// Days as people write them: `12/03/2026`, `12 marzo 2026`, `March 12, 2026`, `dal 1 al 5 marzo 2026`, `marzo 2026`.
enum RequestDates {
  /// A day of which a part may stand elsewhere: "dal 1 al 5 marzo 2026".
  private struct Partial {
    var day: Int?
    var month: Int?
    var year: Int?
  }

  private static let months: [String: Int] = {
    let italian = [
      "gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre",
    ]
    let english = [
      "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
    ]
    var table: [String: Int] = [:]
    for names in [italian, english] {
      for (index, name) in names.enumerated() {
        table[name] = index + 1
        table[String(name.prefix(3))] = index + 1
      }
    }
    table["sett"] = 9
    table["sept"] = 9
    return table
  }()

  private static let joining: Set<String> = ["al", "a", "to", "-", "–", "—", "e", "and", "fino", "until", "through", "till"]
  /// What follows them is a time of day.
  private static let clocks: Set<String> = ["ore", "alle", "h", "at", "dalle", "ora", "orario"]
  private static let idle: Set<String> = ["di", "of", "de", "the", "giorno", "il", "del", "on", "in", "data"]

  /// The first and the last day that a text names; nil when it names none, or more than two, or one that no calendar has.
  static func days(_ text: String, today: LegalDay) -> (from: LegalDay, to: LegalDay)? {
    let tokens = tokens(text)
    guard var partials = partials(tokens, today: today), (1...2).contains(partials.count) else { return nil }
    if partials.count == 2 {
      partials[0].month = partials[0].month ?? partials[1].month
      partials[0].year = partials[0].year ?? partials[1].year
    }
    let spans = partials.compactMap(span)
    guard spans.count == partials.count, let first = spans.first, let last = spans.last else { return nil }
    return (first.from, last.to)
  }

  private static func span(_ partial: Partial) -> (from: LegalDay, to: LegalDay)? {
    guard let month = partial.month, var year = partial.year else { return nil }
    if year < 100 { year += 2000 }
    guard (2000...2100).contains(year), (1...12).contains(month) else { return nil }
    if let day = partial.day { return LegalDay("\(day)/\(month)/\(year)").map { ($0, $0) } }
    guard let first = LegalDay("1/\(month)/\(year)"),
      let next = LegalDay(month == 12 ? "1/1/\(year + 1)" : "1/\(month + 1)/\(year)")
    else { return nil }
    return (first, next.advanced(by: -1))
  }

  // MARK: Tokens

  private static func tokens(_ text: String) -> [String] {
    var tokens: [String] = []
    let spaced = String(
      String.UnicodeScalarView(Folding.fold(text).unicodeScalars.map { [",", ";", "(", ")", "'", "’"].contains($0) ? " " : $0 }))
    for word in spaced.split(separator: " ").prefix(60) { tokens += pieces(String(word)) }
    return tokens.filter { !idle.contains($0) }
  }

  /// One word; a range without spaces and a time behind a `T` are taken apart.
  private static func pieces(_ word: String) -> [String] {
    var word = word
    for mark in ["°", "º", "ª"] { word = word.replacing(mark, with: "") }
    while word.hasSuffix(".") || word.hasSuffix(":") { word.removeLast() }
    for ending in ["st", "nd", "rd", "th"] where word.hasSuffix(ending) && Folding.isDigits(word.dropLast(2)) {
      word = String(word.dropLast(2))
    }
    if let cut = word.firstIndex(of: "t"), Folding.isDigits(word[..<cut].filter { $0 != "-" }), LegalDay(String(word[..<cut])) != nil {
      return [String(word[..<cut])]
    }
    guard word.contains(where: \.isNumber), word.count > 1 else { return word.isEmpty ? [] : [word] }
    for dash in ["-", "–", "—"] where word.contains(dash) {
      let parts = word.split(separator: dash, omittingEmptySubsequences: false).map { String($0) }
      if parts.count == 2 { return [parts[0], dash, parts[1]].filter { !$0.isEmpty } }
      if parts.count == 6 { return [parts[0...2].joined(separator: "-"), dash, parts[3...5].joined(separator: "-")] }
    }
    return [word]
  }

  // MARK: Dates

  /// Nil when something looks like a date and is none.
  private static func partials(_ tokens: [String], today: LegalDay) -> [Partial]? {
    var out: [Partial] = []
    var at = 0
    while at < tokens.count {
      let token = tokens[at]
      let next = at + 1 < tokens.count ? tokens[at + 1] : ""
      if let relative = relative(token, today: today) {
        out.append(relative)
      } else if let numbers = numbers(token) {
        // "10.30" behind a day, or behind "ore", is a time.
        if numbers.count == 2, !out.isEmpty && token.contains(".") && next.isEmpty || at > 0 && clocks.contains(tokens[at - 1]) {
          at += 1
          continue
        }
        guard let partial = numeric(numbers) else { return nil }
        out.append(partial)
      } else if let month = months[token] {
        if Folding.isDigits(next), next.count <= 2, at + 2 < tokens.count, let year = year(tokens[at + 2]) {
          out.append(Partial(day: Int(next), month: month, year: year))
          at += 2
        } else if let year = year(next) {
          out.append(Partial(day: nil, month: month, year: year))
          at += 1
        }
      } else if Folding.isDigits(token), token.count <= 2, at == 0 || !clocks.contains(tokens[at - 1]) {
        if let month = months[next] {
          let year = at + 2 < tokens.count ? year(tokens[at + 2]) : nil
          out.append(Partial(day: Int(token), month: month, year: year))
          at += year == nil ? 1 : 2
        } else if joining.contains(next), out.isEmpty {
          out.append(Partial(day: Int(token), month: nil, year: nil))
        }
      }
      at += 1
    }
    return out
  }

  private static func year(_ token: String) -> Int? { Folding.isDigits(token) && token.count == 4 ? Int(token) : nil }

  private static func relative(_ token: String, today: LegalDay) -> Partial? {
    let day: LegalDay
    switch token {
    case "oggi", "today": day = today
    case "ieri", "yesterday": day = today.advanced(by: -1)
    default: return nil
    }
    let parts = day.text.split(separator: "-").compactMap { Int($0) }
    return parts.count == 3 ? Partial(day: parts[2], month: parts[1], year: parts[0]) : nil
  }

  /// Two or three numbers with `/`, `.` or `-` between them; nil for any other word, a time of day among them.
  private static func numbers(_ token: String) -> [Substring]? {
    for mark in ["/", ".", "-"] where token.contains(mark) {
      let parts = token.split(separator: mark, omittingEmptySubsequences: false)
      guard (2...3).contains(parts.count), parts.allSatisfy({ Folding.isDigits($0) && $0.count <= 4 }) else { return nil }
      return parts
    }
    return nil
  }

  private static func numeric(_ parts: [Substring]) -> Partial? {
    let values = parts.compactMap { Int($0) }
    guard values.count == parts.count else { return nil }
    switch (parts.count, parts[0].count) {
    case (3, 4) where values[0] > 999: return Partial(day: values[2], month: values[1], year: values[0])
    case (3, 1...2) where parts[2].count == 2 || parts[2].count == 4 && values[2] > 999:
      return Partial(day: values[0], month: values[1], year: values[2])
    case (2, 1...2) where parts[1].count <= 2: return Partial(day: values[0], month: values[1], year: nil)
    case (2, 1...2) where parts[1].count == 4: return Partial(day: nil, month: values[0], year: values[1])
    default: return nil
    }
  }
}
