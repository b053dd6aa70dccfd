internal import CPango

/// Pages under the press: where the next line goes, and what is drawn. Without a number of pages in all it only measures.
@safe
final class PagePress {
  /// A4, in points.
  private static let paper = (width: 595.276, height: 841.89)
  private static let side = 50.0
  private static let top = 62.0
  private static let bottom = 58.0

  private let document: PageDocument
  private let pagesInAll: Int?
  private let typesetter: PageTypesetter
  // All three are made here. The drawing context and the surface are released in deinit in this order, then the sink they write into.
  private let sink: UnsafeMutablePointer<ceralacca_page_sink>
  private let surface: OpaquePointer
  private let cairo: OpaquePointer

  /// The page that is being filled, from 1.
  private(set) var pageNumber = 1
  /// Where the next line's top comes.
  private var y = PagePress.top
  private var outlines: [Int32] = []

  private var isDrawing: Bool { pagesInAll != nil }
  private var width: Double { PagePress.paper.width - 2 * PagePress.side }
  private var end: Double { PagePress.paper.height - PagePress.bottom }
  private var room: Double { end - y }
  private var isFresh: Bool { y <= PagePress.top }

  init(_ document: PageDocument, pagesInAll: Int?) throws(PagePrintingError) {
    self.document = document
    self.pagesInAll = pagesInAll
    typesetter = try PageTypesetter()
    guard let sink = unsafe ceralacca_page_sink_new(PagePrinter.pdfBytes) else { throw .cairo("no memory") }
    // Neither is ever NULL: what goes wrong is told by their status at the end.
    let surface = unsafe ceralacca_page_surface(sink, PagePress.paper.width, PagePress.paper.height)!
    let cairo = unsafe cairo_create(surface)!
    unsafe self.sink = sink
    unsafe self.surface = surface
    unsafe self.cairo = cairo
    if isDrawing {
      describe()
      open("Document")
    }
    beginPage()
  }

  deinit {
    unsafe cairo_destroy(cairo)
    unsafe cairo_surface_destroy(surface)
    unsafe ceralacca_page_sink_free(sink)
  }

  /// The octets of the PDF; none when it was only measured.
  func finish() throws(PagePrintingError) -> [UInt8] {
    guard isDrawing else { return [] }
    close("Document")
    unsafe cairo_show_page(cairo)
    let status = unsafe cairo_status(cairo)
    unsafe cairo_surface_finish(surface)
    let statuses = [status, unsafe cairo_surface_status(surface)]
    if statuses.contains(CAIRO_STATUS_WRITE_ERROR) { throw .tooLarge("more than \(PagePrinter.pdfBytes) octets of PDF") }
    if let failed = statuses.first(where: { $0 != CAIRO_STATUS_SUCCESS }) {
      throw .cairo(unsafe cairo_status_to_string(failed).map { unsafe String(cString: $0) } ?? "unknown error")
    }
    return unsafe [UInt8](UnsafeBufferPointer(start: sink.pointee.octets, count: sink.pointee.count))
  }

  func add(_ block: PageBlock) {
    switch block {
    case .heading(let text, let level): heading(text, level: max(1, min(3, level)))
    case .paragraph(let text):
      flow(text, .body, tag: "P", leading: 1.5)
      y += 5
    case .fixed(let text): fixed(text)
    case .facts(let facts):
      for fact in facts { add(fact) }
      y += 7
    case .table(let table): add(table)
    case .pageBreak: if !isFresh { turn() }
    }
  }

  // MARK: Pages

  private func turn() {
    if isDrawing { unsafe cairo_show_page(cairo) }
    pageNumber += 1
    y = PagePress.top
    beginPage()
  }

  /// Words above and below.
  private func beginPage() {
    guard let pagesInAll else { return }
    let numbers = document.pageWords.filled(page: pageNumber, of: pagesInAll)
    let right = typesetter.layout(Printable.text(numbers), .margin, width: width / 2).lines.first
    let rightWidth = right?.width ?? 0
    let place = (header: 34.0, footer: PagePress.paper.height - 40)
    margin(document.header, width: width, at: place.header)
    margin(document.footer, width: width - rightWidth - 12, at: place.footer)
    if let right { draw(right, x: PagePress.side + width - rightWidth - right.x, top: place.footer) }
    rule(at: place.footer - 5)
    if !document.header.isEmpty { rule(at: place.header + 13) }
  }

  private func margin(_ words: String, width: Double, at top: Double) {
    guard !words.isEmpty else { return }
    let flat = Printable.text(words).split(separator: "\n").joined(separator: " ")
    if let line = typesetter.layout(String(flat.prefix(500)), .margin, width: width, ellipsized: true).lines.first {
      draw(line, x: PagePress.side, top: top)
    }
  }

  private func rule(at height: Double, grey: Double = 0.6) {
    guard isDrawing else { return }
    unsafe cairo_set_source_rgb(cairo, grey, grey, grey)
    unsafe cairo_set_line_width(cairo, 0.5)
    unsafe cairo_move_to(cairo, PagePress.side, height)
    unsafe cairo_line_to(cairo, PagePress.side + width, height)
    unsafe cairo_stroke(cairo)
  }

  private func draw(_ line: PageLine, x: Double, top: Double) {
    if isDrawing { unsafe line.layout.draw(line.index, on: cairo, x: x + line.x, baseline: top + line.baseline) }
  }

  /// Draws inside of a structure element, for programs that read aloud. One that holds words never goes on over the end of a page; those
  /// that only hold other elements may.
  private func tagged(_ tag: String, _ draw: () -> Void) {
    if isDrawing { unsafe cairo_tag_begin(cairo, tag, nil) }
    draw()
    if isDrawing { unsafe cairo_tag_end(cairo, tag) }
  }

  // MARK: Words

  private func heading(_ text: String, level: Int) {
    let style = PageStyle.heading(level)
    if !isFresh { y += level == 1 ? 4 : level == 2 ? 12 : 8 }
    // Not alone at the foot of a page.
    if room < style.size * 2 + 48 { turn() }
    outline(text, level: level)
    flow(text, style, tag: "H\(level)", leading: 1)
    y += level == 1 ? 8 : 4
  }

  /// An entry of the outline, below the last one of a higher level.
  private func outline(_ text: String, level: Int) {
    guard isDrawing else { return }
    let title = String(Printable.text(text).split(separator: "\n").joined(separator: " ").prefix(200))
    let place = "page=\(pageNumber) pos=[\(Int(PagePress.side)) \(Int(y))]"
    let depth = min(level - 1, outlines.count)
    outlines.removeLast(outlines.count - depth)
    let parent = outlines.last ?? 0
    outlines.append(unsafe cairo_pdf_surface_add_outline(surface, parent, title, place, CAIRO_PDF_OUTLINE_FLAG_OPEN))
  }

  /// Lines from here on, over as many pages as it takes. Laid out piece by piece, so that a long text is never in memory as a whole.
  private func flow(_ text: String, _ style: PageStyle, tag: String, leading: Double, inset: Double = 0) {
    for piece in Printable.pieces(text) {
      var lines = typesetter.layout(piece, style, width: width - 2 * inset).lines[...]
      // A few lines stay together, so that none stands alone on a page.
      if lines.count <= 4, !isFresh, lines.fitting(room, leading: leading).count < lines.count { turn() }
      while !lines.isEmpty {
        let fitting = lines.fitting(room, leading: leading)
        if fitting.count == 0, !isFresh {
          turn()
          continue
        }
        let part = lines.prefix(max(1, fitting.count))
        tagged(tag) {
          for line in part {
            draw(line, x: PagePress.side + inset, top: y)
            y += line.height + leading
          }
        }
        lines = lines.dropFirst(part.count)
      }
    }
  }

  /// Letters of one width beside a bar.
  private func fixed(_ text: String) {
    for piece in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if room < 14 { turn() }
      let start = (page: pageNumber, y: y)
      flow(String(piece), .fixed, tag: "P", leading: 1.5, inset: 10)
      if isDrawing, pageNumber == start.page {
        unsafe cairo_set_source_rgb(cairo, 0.55, 0.55, 0.55)
        unsafe cairo_rectangle(cairo, PagePress.side, start.y, 2, y - start.y)
        unsafe cairo_fill(cairo)
      }
    }
    y += 6
  }

  private func add(_ fact: PageFact) {
    let nameWidth = width * 0.24
    row(
      [typesetter.lines(fact.name, .factName, width: nameWidth - 8), typesetter.lines(fact.value, .fact, width: width - nameWidth)],
      at: [0, nameWidth], padding: 1.5, tags: ["P", "P"], onTurn: {})
  }

  // MARK: Tables

  private func add(_ table: PageTable) {
    let shares = table.columns.map { $0.share.isFinite && $0.share > 0 ? $0.share : 1 }
    guard !shares.isEmpty else { return }
    let inAll = shares.reduce(0, +)
    let widths = shares.map { $0 / inAll * width }
    let places = widths.indices.map { widths[..<$0].reduce(0, +) + 3 }
    func cells(_ words: [String], _ style: PageStyle) -> [[PageLine]] {
      widths.indices.map { typesetter.lines($0 < words.count ? words[$0] : "", style, width: widths[$0] - 6) }
    }
    let headings = cells(table.columns.map(\.heading), .cellHeading)
    func head() {
      let height = min((headings.map(\.height).max() ?? 0) + 6, end - PagePress.top - 60)
      if isDrawing {
        unsafe cairo_set_source_rgb(cairo, 0.9, 0.9, 0.9)
        unsafe cairo_rectangle(cairo, PagePress.side, y, width, height)
        unsafe cairo_fill(cairo)
      }
      tagged("TR") {
        for (lines, place) in zip(headings, places) { tagged("TH") { draw(lines, at: place, from: y + 3, to: y + height) } }
      }
      y += height
      rule(at: y, grey: 0.3)
    }
    if room < 70 { turn() }
    open("Table")
    head()
    let tags = widths.map { _ in "TD" }
    for words in table.rows {
      tableRow(cells(words, .cell), at: places, tags: tags, head: head)
    }
    close("Table")
    y += 8
  }

  private func tableRow(_ cells: [[PageLine]], at places: [Double], tags: [String], head: () -> Void) {
    row(cells, at: places, padding: 3, tags: tags, isTable: true) {
      head()
    }
    rule(at: y, grey: 0.75)
  }

  private func open(_ tag: String) { if isDrawing { unsafe cairo_tag_begin(cairo, tag, nil) } }
  private func close(_ tag: String) { if isDrawing { unsafe cairo_tag_end(cairo, tag) } }

  private func draw(_ lines: [PageLine], at place: Double, from start: Double, to limit: Double) {
    var top = start
    for line in lines where top + line.height <= limit {
      draw(line, x: PagePress.side + place, top: top)
      top += line.height
    }
  }

  /// Texts beside each other. What fits a page whole is not torn; what does not goes on from page to page.
  private func row(
    _ cells: [[PageLine]], at places: [Double], padding: Double, tags: [String], isTable: Bool = false, onTurn: () -> Void
  ) {
    func next() {
      turn()
      onTurn()
    }
    let height = (cells.map(\.height).max() ?? 0) + 2 * padding
    // Room for a heading row is left out of the account: a row nearly as high as a page is torn, which harms nobody.
    if height > room, !isFresh, height <= (end - PagePress.top) * 0.8 || room < 40 { next() }
    var rest = cells.map { $0[...] }
    var isNewPage = false
    repeat {
      let parts = rest.map { $0.fitting(room - 2 * padding, leading: 0) }
      // On a page of its own a line is drawn whether it fits or not.
      let isStuck = parts.allSatisfy(\.isEmpty) && rest.contains { !$0.isEmpty }
      if isStuck, !isNewPage {
        next()
        isNewPage = true
        continue
      }
      isNewPage = false
      let drawn = isStuck ? rest.map { $0.prefix(1) } : parts
      func cellsOfRow() {
        for (index, lines) in drawn.enumerated() where !lines.isEmpty || isTable {
          tagged(tags[index]) { draw(Array(lines), at: places[index], from: y + padding, to: .infinity) }
        }
      }
      if isTable { tagged("TR") { cellsOfRow() } } else { cellsOfRow() }
      y += (drawn.map { Array($0).height }.max() ?? 0) + 2 * padding
      rest = zip(rest, drawn).map { $0.dropFirst($1.count) }
      if rest.contains(where: { !$0.isEmpty }) { next() }
    } while rest.contains { !$0.isEmpty }
  }

  // MARK: Metadata

  private func describe() {
    func set(_ key: cairo_pdf_metadata_t, _ words: String) {
      if !words.isEmpty { unsafe cairo_pdf_surface_set_metadata(surface, key, Printable.text(words)) }
    }
    set(CAIRO_PDF_METADATA_TITLE, document.title)
    set(CAIRO_PDF_METADATA_AUTHOR, document.author)
    set(CAIRO_PDF_METADATA_SUBJECT, document.subject)
    set(CAIRO_PDF_METADATA_CREATOR, "Ceralacca")
    let moment = document.createdAt.isMoment ? document.createdAt : "1970-01-01T00:00:00+00:00"
    set(CAIRO_PDF_METADATA_CREATE_DATE, moment)
    set(CAIRO_PDF_METADATA_MOD_DATE, moment)
  }
}

extension [PageLine] {
  var height: Double { reduce(0) { $0 + $1.height } }
}

extension ArraySlice<PageLine> {
  /// The first lines that fit into so much room.
  func fitting(_ room: Double, leading: Double) -> ArraySlice<PageLine> {
    var height = 0.0
    var count = 0
    for line in self {
      height += line.height
      if height > room { break }
      height += leading
      count += 1
    }
    return prefix(count)
  }
}

extension String {
  /// The words with the numbers of a page in them.
  fileprivate func filled(page: Int, of pages: Int) -> String {
    var out = ""
    var rest = self[...]
    while let open = rest.firstIndex(of: "{") {
      out += rest[..<open]
      rest = rest[open...]
      if rest.hasPrefix("{page}") {
        out += String(page)
        rest = rest.dropFirst(6)
      } else if rest.hasPrefix("{pages}") {
        out += String(pages)
        rest = rest.dropFirst(7)
      } else {
        out += "{"
        rest = rest.dropFirst()
      }
    }
    return out + rest
  }

  /// RFC 3339 with an offset in digits, as cairo reads it.
  fileprivate var isMoment: Bool {
    let form = Array("dddd-dd-ddTdd:dd:dd+dd:dd".utf8)
    let octets = Array(utf8)
    return octets.count == form.count
      && zip(octets, form).allSatisfy { octet, wanted in
        switch wanted {
        case UInt8(ascii: "d"): octet &- 48 < 10
        case UInt8(ascii: "+"): octet == UInt8(ascii: "+") || octet == UInt8(ascii: "-")
        default: octet == wanted
        }
      }
  }
}
