/// Text in columns, for people who read it on a terminal. Widths are characters.
extension String {
  /// At the left of a column; what is longer is longer.
  func left(_ width: Int) -> String { self + String.spaces(width - count) }

  /// At the right of a column; what is longer is longer.
  func right(_ width: Int) -> String { String.spaces(width - count) + self }

  /// Cut where its column ends.
  func cut(_ width: Int) -> String { count <= width ? self : prefix(Swift.max(1, width - 1)) + "…" }

  private static func spaces(_ count: Int) -> String { String(repeating: " ", count: Swift.max(0, count)) }
}

extension [String] {
  /// Beside each other in columns of these widths, with a space between two.
  func columns(_ widths: [Int]) -> String { zip(self, widths).map { $0.left($1) }.joined(separator: " ") }
}
