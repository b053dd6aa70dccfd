import Octets

/// Calendars and visiting cards (RFC 5545, RFC 6350, vCard 2.1), which carry whole files in base64 inside of their lines.
enum CardText {
  /// Types whose bodies clients read so, whatever they begin with.
  static let types: Set<String> = [
    "text/calendar", "text/x-calendar", "text/x-vcalendar", "text/vcard", "text/x-vcard", "text/directory", "application/ics",
    "application/calendar", "application/vcard",
  ]
  private static let leastLetters = 64
  private static let beginWord = Array("begin:v".utf8)
  /// What a property says when its value is a file; any encoding at all counts, for vCard 2.1 has more than one.
  private static let fileWords = ["encoding=", ";base64", "value=binary"].map { Array($0.utf8) }

  /// True when text that stands in a message as it is, or quoted-printable, has a file inside.
  static func hasFiles(_ body: Span<UInt8>, isQuoted: Bool, isCard: Bool) -> Bool {
    if isQuoted { return QuotedView.decode(body, isLoose: false).withSpan { hasFiles($0, isQuoted: false, isCard: isCard) } }
    guard isCard || hasCard(body) else { return false }
    return saysFile(unfolded(body).span)
  }

  /// True when a line begins with "BEGIN:V", folded or not, perhaps behind a byte order mark and white space, or in UTF-16.
  static func hasCard(_ bytes: Span<UInt8>) -> Bool {
    var at = 0
    while at < bytes.count {
      if beginsCard(bytes, at) { return true }
      var next = at
      while next < bytes.count, bytes[next] != 10, bytes[next] != 13 { next += 1 }
      at = next + 1
    }
    return false
  }

  private static func beginsCard(_ bytes: Span<UInt8>, _ start: Int) -> Bool {
    var at = start
    let marks: [UInt8] = [0xEF, 0xBB, 0xBF, 0xFE, 0xFF, 0, 9, 32]
    while at < bytes.count, bytes[at] | 32 != UInt8(ascii: "b"), marks.contains(bytes[at]) { at += 1 }
    var matched = 0
    while at < bytes.count, matched < beginWord.count {
      if ASCII.lower(bytes[at]) == beginWord[matched] {
        matched += 1
      } else {
        // Within the word only a fold may stand.
        guard matched > 0, [0, 9, 10, 13, 32].contains(bytes[at]) else { return false }
      }
      at += 1
    }
    return matched == beginWord.count
  }

  /// The text with its folds undone (RFC 5545 §3.1), LF for whatever ended its lines, and without the zeros of UTF-16.
  static func unfolded(_ bytes: Span<UInt8>) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count)
    var isEnd = false
    var wasReturn = false
    for at in 0..<bytes.count where bytes[at] != 0 {
      let byte = bytes[at]
      if byte == 13 || byte == 10 {
        // CRLF and CRCRLF are one end.
        if isEnd && !wasReturn { text.append(10) }
        isEnd = true
        wasReturn = byte == 13
        continue
      }
      if isEnd {
        isEnd = false
        wasReturn = false
        if byte == 32 || byte == 9 { continue }
        text.append(10)
      }
      text.append(byte)
    }
    return text
  }

  /// The files inside, decoded in the ways that clients may.
  static func files(_ bytes: Span<UInt8>) -> [Chunk] {
    let text = unfolded(bytes)
    var found: [Chunk] = []
    runs(text.span, &found)
    values(text.span, &found)
    return found
  }

  /// Runs of base64 behind a colon or a comma, on to lines that are nothing else.
  private static func runs(_ text: Span<UInt8>, _ found: inout [Chunk]) {
    var at = 0
    while at < text.count {
      let byte = text[at]
      at += 1
      guard byte == UInt8(ascii: ":") || byte == UInt8(ascii: ",") else { continue }
      let start = at
      while at < text.count, isBase64(text[at]) { at += 1 }
      // The next line, when all of it is base64 or nothing.
      while at < text.count, text[at] == 10 {
        var next = at + 1
        while next < text.count, isBase64(text[next]) { next += 1 }
        guard next == text.count || text[next] == 10 else { break }
        at = next
      }
      guard at - start >= leastLetters else { continue }
      found.append(Base64View.all(text.extracting(start..<at), endsAtPadding: true, isWeb: true))
    }
  }

  /// The values of properties that say to be files, up to the next line with a colon, whatever junk is in them.
  private static func values(_ text: Span<UInt8>, _ found: inout [Chunk]) {
    var at = 0
    while at < text.count {
      var end = Scan.first(10, in: text, from: at) ?? text.count
      let line = text.extracting(at..<end)
      guard saysFile(line) else {
        at = end + 1
        continue
      }
      let starts = valueStarts(line).map { $0 + at }
      while end < text.count {
        let next = Scan.first(10, in: text, from: end + 1) ?? text.count
        if Scan.first(UInt8(ascii: ":"), in: text.extracting((end + 1)..<next), from: 0) != nil { break }
        end = next
      }
      for start in Set(starts) where end - start >= 16 {
        let value = unescaped(text.extracting(start..<end))
        found.append(Base64View.all(value.span, endsAtPadding: true))
        found.append(Base64View.all(value.span, endsAtPadding: false, isWeb: true))
      }
      at = end + 1
    }
  }

  /// Behind the colon that ends the parameters, and behind ";base64,".
  private static func valueStarts(_ line: Span<UInt8>) -> [Int] {
    var starts: [Int] = []
    var isQuoted = false
    for at in 0..<line.count {
      if line[at] == UInt8(ascii: "\"") { isQuoted.toggle() }
      if line[at] == UInt8(ascii: ":"), !isQuoted {
        starts.append(at + 1)
        break
      }
    }
    let lower = (0..<line.count).map { ASCII.lower(line[$0]) }
    if let hit = Scan.first(dataWord, in: lower.span) { starts.append(hit + dataWord.count) }
    return starts
  }
  private static let dataWord = Array(";base64,".utf8)

  /// Without the escapes of a URI.
  private static func unescaped(_ value: Span<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(value.count)
    var at = 0
    while at < value.count {
      if value[at] == UInt8(ascii: "%"), at + 2 < value.count, let high = PlainBase64.digit(value[at + 1]),
        let low = PlainBase64.digit(value[at + 2])
      {
        out.append(high << 4 | low)
        at += 3
      } else {
        out.append(value[at])
        at += 1
      }
    }
    return out
  }

  private static func saysFile(_ text: Span<UInt8>) -> Bool {
    let lower = (0..<text.count).map { ASCII.lower(text[$0]) }
    return fileWords.contains { Scan.first($0, in: lower.span) != nil }
  }

  private static func isBase64(_ byte: UInt8) -> Bool {
    (byte | 32) &- 97 < 26 || byte &- 47 < 11 || byte == 43 || byte == 61 || byte == 45 || byte == 95
  }
}
