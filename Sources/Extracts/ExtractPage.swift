/// A page of a bundle, as blocks one below the other: written as HTML and as plain text here, printed as PDF by others.
public struct ExtractPage: Sendable, Equatable {
  /// Title of the document.
  public var title: String
  public var blocks: [ExtractBlock]

  /// A page of these blocks.
  public init(title: String, blocks: [ExtractBlock]) {
    self.title = title
    self.blocks = blocks
  }
}

/// A part of a page.
public enum ExtractBlock: Sendable, Equatable {
  /// Level 1 is the page's own, 2 and 3 below it.
  case heading(String, level: Int)
  case paragraph(String)
  case facts([ExtractFact])
  case table(ExtractTable)
  /// Commands to be typed, one a line, or what they answer.
  case commands(String)
}

/// A fact of a page: its name and its value.
public struct ExtractFact: Sendable, Equatable {
  public var name: String
  public var value: String

  /// A fact of these words.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// A table of a page.
public struct ExtractTable: Sendable, Equatable {
  /// A column: its heading and its share of the width.
  public struct Column: Sendable, Equatable {
    public var heading: String
    public var share: Double

    /// A column of that share.
    public init(_ heading: String, share: Double) {
      self.heading = heading
      self.share = share
    }
  }

  /// What the table shows, for those who cannot see it.
  public var caption: String
  public var columns: [Column]
  /// Each with a cell for each column.
  public var rows: [[String]]

  /// A table of these rows.
  public init(caption: String, columns: [Column], rows: [[String]]) {
    self.caption = caption
    self.columns = columns
    self.rows = rows
  }
}

/// Words that came from outside, made fit to be shown: nothing in them may act instead of being read.
enum Shown {
  /// Controls, what turns the direction of writing and what cannot be seen are shown by their numbers: a subject must not look like what
  /// it is not.
  static func text(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isActing) else { return text }
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if !isActing(scalar) {
        out.append(scalar)
      } else {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        out.append(contentsOf: "[U+\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits)]".unicodeScalars)
      }
    }
    return String(out)
  }

  private static func isActing(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<32, 0x7F...0x9F, 0xAD, 0x61C, 0x180E, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF, 0xFFF9...0xFFFB,
      0xE0000...0xE0FFF:
      true
    default: false
    }
  }
}
