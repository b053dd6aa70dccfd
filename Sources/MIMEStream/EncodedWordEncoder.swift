import Octets

/// A piece of a field's value that is not broken, and the white space before it, where a line may end.
struct HeaderPiece: Equatable {
  /// Spaces and tabs before the piece; empty only where it stands first.
  var space: [UInt8]
  var text: [UInt8]
}

/// Puts pieces into lines of about 76 characters (RFC 5322 §2.1.1).
struct FoldedLine {
  private(set) var bytes: [UInt8] = []
  private var column: Int
  private let start: Int

  /// The length that lines should have, and the length of a piece above which it is cut or encoded so that no line exceeds 998.
  static let width = 76
  static let pieceBytes = 900

  /// - Parameter column: characters that the line holds already.
  init(column: Int) {
    self.column = max(0, column)
    start = self.column
  }

  mutating func put(_ piece: HeaderPiece) {
    let space = piece.space.prefix(64)
    // Before the first piece there is no white space of its own to fold at; one is added when the line is full already.
    if column + space.count + piece.text.count > FoldedLine.width && (column > start || !space.isEmpty || start > 52) && column > 1 {
      bytes += [13, 10]
      column = 0
      if space.isEmpty {
        bytes.append(32)
        column = 1
      }
    }
    bytes += space
    bytes += piece.text
    column += space.count + piece.text.count
  }
}

/// Makes encoded words (RFC 2047 §2, §4, §5), always in UTF-8 and of characters that may stand in a phrase too.
enum EncodedWordEncoder {
  /// `=?UTF-8?Q?` and `?=`.
  private static let frameBytes = 12
  private static let wordBytes = 75

  /// The pieces of a text: ASCII words as they are, runs of others encoded with the spaces between them.
  static func pieces(of text: String, column: Int) -> [HeaderPiece] {
    var out: [HeaderPiece] = []
    var run = ""
    var runSpace: [UInt8] = []
    func encodeRun() {
      guard !run.isEmpty else { return }
      let room = out.isEmpty ? FoldedLine.width - column : wordBytes
      for (index, word) in words(of: run, room: room).enumerated() {
        out.append(HeaderPiece(space: index == 0 ? runSpace : [32], text: word))
      }
      run = ""
    }
    for part in parts(of: HeaderText.spaced(text)) {
      if !part.mustEncode {
        encodeRun()
        out.append(HeaderPiece(space: Array(part.space.utf8), text: Array(part.word.utf8)))
      } else if run.isEmpty && !out.isEmpty {
        runSpace = Array(part.space.utf8)
        run = part.word
      } else {
        // Inside of a run, and at the start of the text, the space is a part of what is encoded.
        if run.isEmpty { runSpace = [] }
        run += part.space
        run += part.word
      }
    }
    encodeRun()
    return out
  }

  private struct Part {
    var space: String
    var word: String
    var mustEncode: Bool
  }

  /// Words with the spaces before them; spaces at the end come with an empty word.
  ///
  /// White space at the edges would be lost, and much of it would make a line of nothing else: what stands beside it is encoded with it.
  private static func parts(of text: String) -> [Part] {
    var parts: [Part] = []
    var rest = text.unicodeScalars[...]
    while !rest.isEmpty {
      let space = rest.prefix { $0 == " " }
      rest = rest.dropFirst(space.count)
      let word = rest.prefix { $0 != " " }
      rest = rest.dropFirst(word.count)
      let isOddSpace = parts.isEmpty ? !space.isEmpty : word.isEmpty || space.count > 20
      if isOddSpace, !parts.isEmpty { parts[parts.count - 1].mustEncode = true }
      let isOddWord = word.count > FoldedLine.pieceBytes || word.contains { $0.value > 126 } || String(word).contains("=?")
      parts.append(Part(space: String(space), word: String(word), mustEncode: isOddSpace || isOddWord))
    }
    return parts
  }

  /// Encoded words that together are `text`, none above 75 characters, each of whole characters (RFC 2047 §5).
  ///
  /// - Parameter room: characters that are left for the first one; too few of them are ignored.
  static func words(of text: String, room: Int) -> [[UInt8]] {
    let quotedLength = text.utf8.reduce(0) { $0 + (isSafe($1) || $1 == 32 ? 1 : 3) }
    let isBase64 = quotedLength > (text.utf8.count + 2) / 3 * 4
    var out: [[UInt8]] = []
    var bytes: [UInt8] = []
    var length = 0
    var limit = min(wordBytes, room) - frameBytes
    if limit < 12 { limit = wordBytes - frameBytes }
    func close() {
      guard !bytes.isEmpty else { return }
      out.append(isBase64 ? Array("=?UTF-8?B?".utf8) + Base64.encode(bytes) + Array("?=".utf8) : quoted(bytes))
      bytes = []
      length = 0
      limit = wordBytes - frameBytes
    }
    for scalar in text.unicodeScalars {
      let encoded = Array(String(scalar).utf8)
      let cost = isBase64 ? encoded.count : encoded.reduce(0) { $0 + (isSafe($1) || $1 == 32 ? 1 : 3) }
      let room = isBase64 ? limit / 4 * 3 : limit
      if length + cost > room { close() }
      bytes += encoded
      length += cost
    }
    close()
    return out
  }

  private static func quoted(_ bytes: [UInt8]) -> [UInt8] {
    var out = Array("=?UTF-8?Q?".utf8)
    for byte in bytes {
      if byte == 32 {
        out.append(UInt8(ascii: "_"))
      } else if isSafe(byte) {
        out.append(byte)
      } else {
        let (high, low) = HeaderText.hexDigits(byte)
        out += [UInt8(ascii: "="), high, low]
      }
    }
    return out + Array("?=".utf8)
  }

  /// RFC 2047 §5 (3): what may stand in a Q word anywhere, phrases included.
  private static func isSafe(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "!"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "/"):
      true
    default: false
    }
  }
}
