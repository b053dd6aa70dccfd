/// What a message to the log mailbox asks, as its record keeps it: read once, before the commit of its delivery receipt.
public enum RequestNote {
  private static let notYours = "not-yours: yes"
  private static let unread = "unread: yes"
  private static let problem = "problem: "

  /// The note of a reading; nil for what nobody wrote, of which no request is made.
  public static func text(_ reading: LogRequestReading) -> String? {
    switch reading {
    case .understood(let question): question.text
    case .unclear(let question, let missing, let problems):
      ([question.text] + (missing.isEmpty ? [unread] : []) + problems.map { problem + $0 }).joined(separator: "\n")
    case .notYours(let question): "\(question.text)\n\(notYours)"
    case .automatic: nil
    }
  }

  /// The reading of a note.
  public static func reading(_ text: String) -> LogRequestReading {
    let question = LogRequestQuestion(text: text)
    let lines = text.split(separator: "\n").map(String.init)
    if lines.contains(notYours) { return .notYours(question) }
    let problems = lines.filter { $0.hasPrefix(problem) }.map { String($0.dropFirst(problem.count)) }
    if question.isEnough { return .understood(question) }
    return .unclear(question, missing: lines.contains(unread) ? [] : question.missing, problems: problems)
  }
}
