/// A reply of an SMTP server: what a server machine sends, and what a client machine was answered (RFC 5321 §4.2).
public struct Reply: Sendable, Equatable {
  /// Three digits, 200…599.
  public var code: Int
  /// Enhanced status code such as `2.1.0` (RFC 3463), without the text; nil where there is none.
  public var enhanced: String?
  /// The text, line by line, without codes. At least one line, perhaps empty.
  public var lines: [String]

  /// A reply of one line.
  public init(_ code: Int, _ enhanced: String? = nil, _ text: String) {
    self.init(code: code, enhanced: enhanced, lines: [text])
  }

  /// A reply of several lines; no lines at all are taken as one empty line.
  public init(code: Int, enhanced: String?, lines: [String]) {
    self.code = code
    self.enhanced = enhanced
    self.lines = lines.isEmpty ? [""] : lines
  }

  /// "Go on": the answer to `ServerEvent.bodyBegins` that lets the body come. DATA is answered with it, BDAT sends nothing.
  public static let startInput = Reply(354, nil, "End data with <CR><LF>.<CR><LF>")
  /// 250 2.0.0.
  public static let ok = Reply(250, "2.0.0", "OK")

  /// 2yz: done (RFC 5321 §4.2.1).
  public var isPositive: Bool { code >= 200 && code < 300 }
  /// 4yz: to be tried again later.
  public var isTransient: Bool { code >= 400 && code < 500 }
  /// 5yz: no, and for good.
  public var isPermanent: Bool { code >= 500 }

  /// All of it on one line, for a log or a notice: `550 5.1.1 no such user`.
  public var summary: String {
    (["\(code)"] + (enhanced.map { [$0] } ?? []) + lines.filter { !$0.isEmpty }).joined(separator: " ")
  }

  /// The octets on the wire.
  public var bytes: [UInt8] {
    var out: [UInt8] = []
    write(to: &out)
    return out
  }

  /// A reply line with its CRLF must not be longer (RFC 5321 §4.5.3.1.5).
  static let lineBytes = 512

  private static func isPrintable(_ byte: UInt8) -> Bool { byte >= 32 && byte < 127 }

  private func writeCode(to out: inout [UInt8]) {
    let digits = min(max(code, 0), 999)
    out.append(UInt8(48 + digits / 100))
    out.append(UInt8(48 + digits / 10 % 10))
    out.append(UInt8(48 + digits % 10))
  }

  /// Appends the octets on the wire to `out`. Whatever is not printable ASCII in a text goes as "?", so that no text can break
  /// out of its line; what is too long for a line is cut off.
  func write(to out: inout [UInt8]) {
    for (index, line) in lines.enumerated() {
      let start = out.count
      writeCode(to: &out)
      out.append(UInt8(ascii: index == lines.count - 1 ? " " : "-"))
      if let enhanced {
        // RFC 2034 §4: on every line of the reply.
        out.append(contentsOf: enhanced.utf8)
        out.append(UInt8(ascii: " "))
      }
      let text = line.utf8.prefix(Reply.lineBytes - 2 - (out.count - start))
      if text.allSatisfy(Reply.isPrintable) {
        out.append(contentsOf: text)
      } else {
        out.append(contentsOf: text.map { Reply.isPrintable($0) ? $0 : UInt8(ascii: "?") })
      }
      out.append(13)
      out.append(10)
    }
  }
}
