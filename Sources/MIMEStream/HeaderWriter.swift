import Octets

/// Composes header fields, each line ended by CRLF; a composed line is never above 998 octets (RFC 5322 §2.1.1).
public struct HeaderWriter: Sendable {
  /// What was written.
  public private(set) var bytes: [UInt8] = []

  /// A writer of nothing.
  public init() {}

  /// A field whose value is ASCII and structured: folded at spaces at about 76 characters. A line end or control character in the
  /// value becomes a space, anything above ASCII "?", so that no value can make a second field.
  public mutating func field(_ name: String, _ value: String) {
    let clean = value.unicodeScalars.map { scalar in
      HeaderText.isControl(scalar) ? 32 : scalar.isASCII ? UInt8(truncatingIfNeeded: scalar.value) : UInt8(ascii: "?")
    }
    var line = begin(name)
    for piece in HeaderWriter.pieces(of: clean).flatMap(HeaderWriter.cut) { line.put(piece) }
    end(line)
  }

  /// A field of free text: `prefix` and then a value as it was received, its encoded words unchanged.
  ///
  /// The value is folded anew; control characters are left out, octets above 127 become encoded words, and so do words too long for a
  /// line. White space around the whole is left out.
  public mutating func unstructured(_ name: String, prefix: String, rawValue: [UInt8]) {
    var line = begin(name)
    var clean: [UInt8] = []
    for byte in rawValue where byte > 31 && byte != 127 || byte == 9 { clean.append(byte == 9 ? 32 : byte) }
    var lead = HeaderWriter.pieces(of: Array(prefix.utf8))
    var received = HeaderWriter.pieces(of: clean)
    if !received.isEmpty, let last = lead.last {
      if prefix.last == " " {
        received[0].space = [32]
      } else {
        // No space between prefix and value: they are one word.
        received[0] = HeaderPiece(space: last.space, text: last.text + received[0].text)
        lead.removeLast()
      }
    }
    for piece in lead + HeaderWriter.encodedWhereNeeded(received) { line.put(piece) }
    end(line)
  }

  /// A field of free text, encoded where it needs to be.
  public mutating func unstructured(_ name: String, _ text: String) {
    var line = begin(name)
    for piece in EncodedWordEncoder.pieces(of: text, column: name.utf8.count + 2) { line.put(piece) }
    end(line)
  }

  /// A field as received, whole lines; a line end is added when the last one lacks it.
  public mutating func copy(_ raw: ArraySlice<UInt8>) {
    guard let last = raw.last else { return }
    bytes += raw
    if last != 10 { bytes += [13, 10] }
  }

  private mutating func begin(_ name: String) -> FoldedLine {
    bytes += Array((name + ": ").utf8)
    return FoldedLine(column: name.utf8.count + 2)
  }

  private mutating func end(_ line: FoldedLine) {
    bytes += line.bytes
    bytes += [13, 10]
  }

  /// Words and the spaces between them; spaces around the whole are left out.
  private static func pieces(of text: [UInt8]) -> [HeaderPiece] {
    var out: [HeaderPiece] = []
    var space: [UInt8] = []
    var word: [UInt8] = []
    for byte in text {
      if byte == 32 {
        if !word.isEmpty {
          out.append(HeaderPiece(space: space, text: word))
          space = []
          word = []
        }
        if !out.isEmpty { space.append(byte) }
      } else {
        word.append(byte)
      }
    }
    if !word.isEmpty { out.append(HeaderPiece(space: space, text: word)) }
    return out
  }

  /// A structured piece too long for a line, cut behind a comma where there is one, and where it must be when there is none.
  private static func cut(_ piece: HeaderPiece) -> [HeaderPiece] {
    var out: [HeaderPiece] = []
    var rest = piece.text[...]
    var space = piece.space
    while rest.count > FoldedLine.pieceBytes {
      let head = rest.prefix(FoldedLine.pieceBytes)
      let end = head.lastIndex(of: UInt8(ascii: ",")).map { $0 + 1 } ?? head.endIndex
      out.append(HeaderPiece(space: space, text: Array(rest[..<end])))
      rest = rest[end...]
      space = [32]
    }
    if !rest.isEmpty { out.append(HeaderPiece(space: space, text: Array(rest))) }
    return out
  }

  /// Pieces of a received value with everything that may not stand in a header turned into encoded words.
  private static func encodedWhereNeeded(_ received: [HeaderPiece]) -> [HeaderPiece] {
    var out: [HeaderPiece] = []
    var at = 0
    while at < received.count {
      guard mustEncode(received[at]) else {
        out.append(received[at])
        at += 1
        continue
      }
      var run = received[at].text
      let first = at
      at += 1
      while at < received.count, mustEncode(received[at]) {
        run += received[at].space + received[at].text
        at += 1
      }
      // Space between two encoded words is not shown (RFC 2047 §6.2): where the sender's text showed one, it moves inside.
      var decoder = EncodedWordDecoder(run)
      let text = HeaderText.spaced(decoder.run())
      let before = first > 0 && edges(received[first - 1]).ends && !decoder.beginsWithWord ? " " : ""
      let after = at < received.count && edges(received[at]).begins && !decoder.endsWithWord ? " " : ""
      for (index, word) in EncodedWordEncoder.words(of: before + text + after, room: FoldedLine.width).enumerated() {
        out.append(HeaderPiece(space: index == 0 ? received[first].space : [32], text: word))
      }
    }
    return out
  }

  /// Whether a piece begins, and whether it ends, with an encoded word.
  private static func edges(_ piece: HeaderPiece) -> (begins: Bool, ends: Bool) {
    var decoder = EncodedWordDecoder(piece.text)
    _ = decoder.run()
    return (decoder.beginsWithWord, decoder.endsWithWord)
  }

  private static func mustEncode(_ piece: HeaderPiece) -> Bool {
    piece.text.count > FoldedLine.pieceBytes || piece.text.contains { $0 > 127 }
  }
}
