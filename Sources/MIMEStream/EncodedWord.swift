import Octets

/// Encoded words in header fields (RFC 2047).
public enum EncodedWord {
  /// A value as readable text: encoded words decoded, those side by side joined before their character set is converted, folds removed.
  ///
  /// A word of an unknown character set stays as it is written. Octets above 127 outside of words are read as UTF-8, or else as Latin-1.
  /// Control characters become spaces, so that a decoded value cannot break a line somewhere else.
  public static func decode(_ value: [UInt8]) -> String {
    var decoder = EncodedWordDecoder(value)
    return HeaderText.spaced(decoder.run())
  }

  /// A text as the value of an unstructured field: ASCII words as they are, others as encoded words in UTF-8 of 75 characters at the most,
  /// folded by CRLF and a space. Control characters become spaces.
  ///
  /// - Parameters:
  ///   - text: what is to be shown.
  ///   - column: characters that the first line holds already ("Subject: " is 9).
  public static func encode(_ text: String, column: Int) -> [UInt8] {
    var line = FoldedLine(column: column)
    for piece in EncodedWordEncoder.pieces(of: text, column: column) { line.put(piece) }
    return line.bytes
  }
}

/// One pass over a value; what looks like an encoded word and is none is text.
struct EncodedWordDecoder {
  private let bytes: [UInt8]
  private var out = ""
  /// Octets of encoded words side by side in one character set, not converted yet.
  private var pending: (charset: String, payload: [UInt8])?
  private var knownCharsets: [String: Bool] = [:]
  /// Whether the value begins, and whether it ends, with an encoded word; known after `run`.
  private(set) var beginsWithWord = false
  private(set) var endsWithWord = false

  /// Different names of character sets that are tried in one value: looking one up may read a file.
  private static let charsetLookups = 16
  /// RFC 2047 §2 allows a word of 75; a charset's name is never this long.
  private static let charsetBytes = 40

  /// - Parameter value: a field's value, folded or not.
  init(_ value: [UInt8]) {
    var unfolded: [UInt8] = []
    unfolded.reserveCapacity(value.count)
    for (at, byte) in value.enumerated() {
      // The line end of a fold goes; one that folds nothing is a control character like others.
      if byte == 13 || byte == 10 {
        let next = at + 1 < value.count ? value[at + 1] : 32
        if next == 32 || next == 9 || next == 10 || next == 13 { continue }
      }
      unfolded.append(byte)
    }
    bytes = unfolded
  }

  mutating func run() -> String {
    var at = 0
    var textStart = 0
    while at < bytes.count {
      guard bytes[at] == UInt8(ascii: "="), at + 1 < bytes.count, bytes[at + 1] == UInt8(ascii: "?"), let word = word(at: at) else {
        at += 1
        continue
      }
      let gap = bytes[textStart..<at]
      let isJoined = pending != nil && gap.allSatisfy { $0 == 32 || $0 == 9 }
      if !isJoined {
        flush()
        out += HeaderText.guessed(Array(gap))
      }
      if let open = pending, open.charset == word.charset {
        pending?.payload += word.payload
      } else {
        flush()
        pending = (word.charset, word.payload)
      }
      if at == 0 { beginsWithWord = true }
      at = word.end
      textStart = at
    }
    endsWithWord = textStart > 0 && textStart == bytes.count
    flush()
    out += HeaderText.guessed(Array(bytes[textStart...]))
    return out
  }

  private mutating func flush() {
    guard let (charset, payload) = pending else { return }
    pending = nil
    out += MailCharset.decode(payload, as: charset) ?? HeaderText.guessed(payload)
  }

  /// The encoded word that begins at `start`, or nil.
  private mutating func word(at start: Int) -> (charset: String, payload: [UInt8], end: Int)? {
    var at = start + 2
    var charset: [UInt8] = []
    while at < bytes.count, bytes[at] != UInt8(ascii: "?"), bytes[at] != UInt8(ascii: "*") {
      guard bytes[at] > 32, bytes[at] < 127, charset.count < EncodedWordDecoder.charsetBytes else { return nil }
      charset.append(ASCII.lower(bytes[at]))
      at += 1
    }
    // RFC 2231 §5: a language may stand behind the character set.
    var language = 0
    while at < bytes.count, bytes[at] != UInt8(ascii: "?"), language < EncodedWordDecoder.charsetBytes {
      at += 1
      language += 1
    }
    guard !charset.isEmpty, at + 2 < bytes.count, bytes[at] == UInt8(ascii: "?"), bytes[at + 2] == UInt8(ascii: "?") else { return nil }
    let kind = ASCII.lower(bytes[at + 1])
    guard kind == UInt8(ascii: "q") || kind == UInt8(ascii: "b"), let end = textEnd(from: at + 3, kind: kind) else { return nil }
    let name = String(decoding: charset, as: UTF8.self)
    guard isKnown(name) else { return nil }
    let text = bytes[(at + 3)..<end]
    let payload = kind == UInt8(ascii: "q") ? EncodedWordDecoder.unquoted(text) : TransferDecoder.base64(Array(text))
    return (name, payload, end + 2)
  }

  /// Where the "?=" of a word stands. A question mark inside is met in sloppy Q words; another "=?" means there is no end, and it bounds
  /// the search.
  private func textEnd(from start: Int, kind: UInt8) -> Int? {
    var at = start
    while at + 1 < bytes.count {
      if bytes[at] == UInt8(ascii: "?") {
        if bytes[at + 1] == UInt8(ascii: "=") { return at }
        if kind == UInt8(ascii: "b") { return nil }
      } else if bytes[at] == UInt8(ascii: "="), bytes[at + 1] == UInt8(ascii: "?") {
        guard at + 2 < bytes.count, bytes[at + 2] == UInt8(ascii: "=") else { return nil }
      }
      at += 1
    }
    return nil
  }

  private mutating func isKnown(_ charset: String) -> Bool {
    if let known = knownCharsets[charset] { return known }
    guard knownCharsets.count < EncodedWordDecoder.charsetLookups else { return false }
    let known = MailCharset.decode([], as: charset) != nil
    knownCharsets[charset] = known
    return known
  }

  /// RFC 2047 §4.2.
  private static func unquoted(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    var at = text.startIndex
    while at < text.endIndex {
      if text[at] == UInt8(ascii: "_") {
        out.append(32)
      } else if text[at] == UInt8(ascii: "="), at + 2 < text.endIndex, let value = HeaderText.hexOctet(text[at + 1], text[at + 2]) {
        out.append(value)
        at += 2
      } else {
        out.append(text[at])
      }
      at += 1
    }
    return out
  }
}
