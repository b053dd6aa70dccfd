internal import CPango

/// How words look.
struct PageStyle {
  var family: String
  /// Points.
  var size: Double
  var isBold = false
  /// 0 is black, 1 is white.
  var grey = 0.0

  static let sans = "DejaVu Sans, Noto Sans, Liberation Sans, sans-serif"
  static let mono = "DejaVu Sans Mono, Noto Sans Mono, Liberation Mono, monospace"

  static let body = PageStyle(family: sans, size: 9.5)
  static let cell = PageStyle(family: sans, size: 7.5)
  static let cellHeading = PageStyle(family: sans, size: 7.5, isBold: true)
  static let factName = PageStyle(family: sans, size: 9, isBold: true)
  static let fact = PageStyle(family: sans, size: 9)
  static let fixed = PageStyle(family: mono, size: 8)
  static let margin = PageStyle(family: sans, size: 7.5, grey: 0.3)

  static func heading(_ level: Int) -> PageStyle {
    PageStyle(family: sans, size: level <= 1 ? 17 : level == 2 ? 12.5 : 10.5, isBold: true)
  }
}

/// Where layouts are made: a font map and a context of Pango, one document's own.
@safe
final class PageTypesetter {
  // Both are made here and released in deinit, after every layout that was made in the context.
  private let map: UnsafeMutablePointer<PangoFontMap>
  private let context: OpaquePointer
  private let attributes: OpaquePointer

  init() throws(PagePrintingError) {
    guard ceralacca_font_count() > 0 else { throw .noFonts }
    guard let map = unsafe pango_cairo_font_map_new() else { throw .cairo("no font map") }
    // A point of type is a unit of the page.
    unsafe pango_cairo_font_map_set_resolution(OpaquePointer(map), 72)
    guard let context = unsafe pango_font_map_create_context(map), let attributes = unsafe pango_attr_list_new() else {
      unsafe g_object_unref(map)
      throw .cairo("no text context")
    }
    unsafe self.map = map
    unsafe self.context = context
    unsafe self.attributes = attributes
    // Metrics of the type itself, not of some screen.
    let options = unsafe cairo_font_options_create()
    unsafe cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE)
    unsafe cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF)
    unsafe cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
    unsafe pango_cairo_context_set_font_options(context, options)
    unsafe cairo_font_options_destroy(options)
    unsafe pango_context_set_round_glyph_positions(context, 0)
    unsafe pango_context_set_language(context, pango_language_from_string("it"))
    unsafe pango_context_set_base_dir(context, PANGO_DIRECTION_LTR)
    // A hyphen in a broken digest or address would be a letter that is not there.
    unsafe pango_attr_list_insert(attributes, pango_attr_insert_hyphens_new(0))
  }

  deinit {
    unsafe pango_attr_list_unref(attributes)
    unsafe g_object_unref(UnsafeMutableRawPointer(context))
    unsafe g_object_unref(map)
  }

  /// A text of one piece (`Printable.pieces`), broken at `width` points.
  func layout(_ text: String, _ style: PageStyle, width: Double, ellipsized: Bool = false) -> PageLayout {
    // Pango ends the process itself when there is no memory for a layout.
    let layout = unsafe pango_layout_new(context)!
    let font = unsafe pango_font_description_new()
    unsafe pango_font_description_set_family(font, style.family)
    unsafe pango_font_description_set_size(font, Int32(style.size * Double(PANGO_SCALE)))
    unsafe pango_font_description_set_weight(font, style.isBold ? PANGO_WEIGHT_BOLD : PANGO_WEIGHT_NORMAL)
    unsafe pango_layout_set_font_description(layout, font)
    unsafe pango_font_description_free(font)
    unsafe pango_layout_set_attributes(layout, attributes)
    unsafe pango_layout_set_width(layout, Int32(max(1, width) * Double(PANGO_SCALE)))
    unsafe pango_layout_set_wrap(layout, PANGO_WRAP_WORD_CHAR)
    if ellipsized { unsafe pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END) }
    unsafe pango_layout_set_text(layout, text, Int32(text.utf8.count))
    return unsafe PageLayout(layout, grey: style.grey)
  }

  /// A whole text as lines.
  func lines(_ text: String, _ style: PageStyle, width: Double) -> [PageLine] {
    Printable.pieces(text).flatMap { layout($0, style, width: width).lines }
  }
}

/// A layout of Pango and its lines.
@safe
final class PageLayout {
  // Ours by pango_layout_new; the lines inside are its own and live as long.
  private let layout: OpaquePointer
  let grey: Double

  @unsafe
  init(_ layout: OpaquePointer, grey: Double) {
    unsafe self.layout = layout
    self.grey = grey
  }

  deinit { unsafe g_object_unref(UnsafeMutableRawPointer(layout)) }

  var lines: [PageLine] {
    guard let iterator = unsafe pango_layout_get_iter(layout) else { return [] }
    defer { unsafe pango_layout_iter_free(iterator) }
    var lines: [PageLine] = []
    let scale = Double(PANGO_SCALE)
    repeat {
      var extents = PangoRectangle()
      unsafe pango_layout_iter_get_line_extents(iterator, nil, &extents)
      let baseline = unsafe Double(pango_layout_iter_get_baseline(iterator)) - Double(extents.y)
      lines.append(
        PageLine(
          layout: self, index: lines.count, x: Double(extents.x) / scale, width: Double(extents.width) / scale,
          height: Double(extents.height) / scale, baseline: baseline / scale))
    } while unsafe pango_layout_iter_next_line(iterator) != 0
    return lines
  }

  /// Draws one line with its baseline at that height.
  @unsafe
  func draw(_ index: Int, on cairo: OpaquePointer, x: Double, baseline: Double) {
    guard let line = unsafe pango_layout_get_line_readonly(layout, Int32(index)) else { return }
    unsafe cairo_set_source_rgb(cairo, grey, grey, grey)
    unsafe cairo_move_to(cairo, x, baseline)
    unsafe pango_cairo_show_layout_line(cairo, line)
  }
}

/// A line of a layout, with its measures in points.
struct PageLine {
  let layout: PageLayout
  let index: Int
  /// From the left of the layout: lines of right-to-left scripts stand at the right.
  let x: Double
  let width: Double
  let height: Double
  /// Below the line's top.
  let baseline: Double
}
