/// A document to be printed: blocks one below the other on A4 pages, each page with the same words above and below.
public struct PageDocument: Sendable, Equatable {
  /// Title in the PDF's metadata and in its reader's window; not printed by itself.
  public var title: String
  /// Who made it, in the metadata.
  public var author: String
  /// What it is about, in the metadata.
  public var subject: String
  /// When it was made, RFC 3339 (`2026-11-21T10:44:26+01:00`): the metadata take it, never the clock, so that the same document always
  /// gives the same octets.
  public var createdAt: String
  /// Words at the top of each page; empty for none.
  public var header: String
  /// Words at the foot of each page; the number of the page stands beside them.
  public var footer: String
  /// How a page says its number: `{page}` and `{pages}` are filled in.
  public var pageWords: String
  /// From top to bottom.
  public var blocks: [PageBlock]

  /// A document of these parts.
  public init(
    title: String, author: String = "", subject: String = "", createdAt: String, header: String = "", footer: String = "",
    pageWords: String = "pagina {page} di {pages}", blocks: [PageBlock]
  ) {
    self.title = title
    self.author = author
    self.subject = subject
    self.createdAt = createdAt
    self.header = header
    self.footer = footer
    self.pageWords = pageWords
    self.blocks = blocks
  }
}

/// A part of a document.
public enum PageBlock: Sendable, Equatable {
  /// A heading; level 1 is the document's own, 2 and 3 below it. The PDF's outline is made of them.
  case heading(String, level: Int)
  /// Words, broken where the line ends and at line feeds.
  case paragraph(String)
  /// Facts: a name at the left, its value beside it.
  case facts([PageFact])
  /// Rows of cells under a heading row that is repeated on each page.
  case table(PageTable)
  /// Words in letters of one width, for commands and digests.
  case fixed(String)
  /// What follows begins on a new page.
  case pageBreak
}

/// A fact of a document: its name and its value.
public struct PageFact: Sendable, Equatable {
  public var name: String
  public var value: String

  /// A fact of these words.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// A table of a document.
public struct PageTable: Sendable, Equatable {
  /// A column: its heading, and its share of the width (only the ratio to the other columns' shares counts).
  public struct Column: Sendable, Equatable {
    public var heading: String
    public var share: Double

    /// A column of that share.
    public init(_ heading: String, share: Double) {
      self.heading = heading
      self.share = share
    }
  }

  public var columns: [Column]
  /// Each with a cell for each column; what lacks is printed empty, what is too much is left out.
  public var rows: [[String]]

  /// A table of these rows.
  public init(columns: [Column], rows: [[String]]) {
    self.columns = columns
    self.rows = rows
  }
}

/// Why a document was not printed.
public enum PagePrintingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The machine has no font at all (Debian: fonts-dejavu-core).
  case noFonts
  /// More text, pages or octets than `PagePrinter` takes.
  case tooLarge(String)
  /// Cairo could not make the PDF.
  case cairo(String)

  public var description: String {
    switch self {
    case .noFonts: "there are no fonts on this machine: install fonts-dejavu-core"
    case .tooLarge(let what): "the document is too large to be printed: \(what)"
    case .cairo(let words): "the PDF cannot be made: \(words)"
    }
  }
}
