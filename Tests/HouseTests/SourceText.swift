/// A Swift source told apart into code, comments and strings, line by line.
struct SourceText {
  /// Comments and the insides of strings are blanks; lines stay where they are.
  let code: [String]
  /// As the file has it.
  let lines: [String]

  init(_ text: String) {
    var blanker = Blanker(Array(text.utf8))
    blanker.run()
    lines = SourceText.split(text)
    code = SourceText.split(String(decoding: blanker.octets, as: UTF8.self))
  }

  private static func split(_ text: String) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }
}

/// Overwrites comments and strings with blanks, interpolations and all.
private struct Blanker {
  var octets: [UInt8]
  private var at = 0

  init(_ octets: [UInt8]) { self.octets = octets }

  private func sees(_ word: String, _ offset: Int = 0) -> Bool {
    let start = at + offset
    guard start + word.utf8.count <= octets.count else { return false }
    return octets[start..<(start + word.utf8.count)].elementsEqual(word.utf8)
  }

  private mutating func blank(_ count: Int = 1) {
    for _ in 0..<count where at < octets.count {
      if octets[at] != UInt8(ascii: "\n") { octets[at] = UInt8(ascii: " ") }
      at += 1
    }
  }

  mutating func run() {
    while at < octets.count {
      switch octets[at] {
      case UInt8(ascii: "/") where sees("//"): while at < octets.count, octets[at] != UInt8(ascii: "\n") { blank() }
      case UInt8(ascii: "/") where sees("/*"): blockComment()
      case UInt8(ascii: "\""): string(hashes: 0)
      case UInt8(ascii: "#"):
        let hashes = octets[at...].prefix { $0 == UInt8(ascii: "#") }.count
        if sees("\"", hashes) {
          at += hashes
          string(hashes: hashes)
        } else {
          at += hashes
        }
      default: at += 1
      }
    }
  }

  private mutating func blockComment() {
    var depth = 0
    repeat {
      if sees("/*") {
        depth += 1
        blank(2)
      } else if sees("*/") {
        depth -= 1
        blank(2)
      } else {
        blank()
      }
    } while depth > 0 && at < octets.count
  }

  /// From the opening quote to the one that closes it; the quotes stay.
  private mutating func string(hashes: Int) {
    let quote = sees("\"\"\"") ? "\"\"\"" : "\""
    let fence = String(repeating: "#", count: hashes)
    at += quote.utf8.count
    while at < octets.count {
      if sees(quote + fence) {
        at += quote.utf8.count + hashes
        return
      }
      if sees("\\" + fence + "(") {
        blank(2 + hashes)
        interpolation()
      } else if sees("\\" + fence) {
        blank(2 + hashes)
      } else if quote.utf8.count == 1, octets[at] == UInt8(ascii: "\n") {
        return
      } else {
        blank()
      }
    }
  }

  /// Up to the closing parenthesis; strings inside it have their own quotes.
  private mutating func interpolation() {
    var depth = 1
    while depth > 0, at < octets.count {
      switch octets[at] {
      case UInt8(ascii: "("): depth += 1
      case UInt8(ascii: ")"): depth -= 1
      case UInt8(ascii: "\""):
        let start = at
        string(hashes: 0)
        for index in start..<at where octets[index] != UInt8(ascii: "\n") { octets[index] = UInt8(ascii: " ") }
        continue
      default: break
      }
      blank()
    }
  }
}
