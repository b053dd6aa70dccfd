internal import PEC

/// What mail programs and providers put before a subject. The log keeps the original's: a holder copies that of the envelope, of a
/// receipt, or of his own reply.
enum SubjectPrefixes {
  private static let words: Set<String> = Set(
    MessageKind.subjectPrefixes.map { word($0.prefix { $0 != ":" }) }
      + ["re", "r", "rif", "risp", "fw", "fwd", "i", "inoltro", "aw", "wg"])

  /// The subject behind all of them; empty when nothing is left.
  static func stripped(_ subject: String) -> String {
    var rest = subject[...]
    while let colon = rest.firstIndex(of: ":"), words.contains(word(rest[..<colon])) { rest = rest[rest.index(after: colon)...] }
    return Folding.tidied(rest)
  }

  /// Folded, and without the number that some programs count replies by ("Re[2]").
  private static func word(_ text: some StringProtocol) -> String {
    let folded = Folding.tidied(Folding.fold(text))
    guard let last = folded.last, last == "]" || last == ")" else { return folded }
    return Folding.tidied(folded.prefix { $0 != "[" && $0 != "(" })
  }
}

extension LogRequestQuestion {
  /// Words of the subject as the message's writer gave it: without what kinds of message (RFC 6109 §3) and replies put before it. Nil
  /// when there is nothing to look for.
  public var originalSubject: String? { subject.map(SubjectPrefixes.stripped).flatMap { $0.isEmpty ? nil : $0 } }
}
