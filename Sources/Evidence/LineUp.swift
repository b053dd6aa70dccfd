/// Compares the lines of a file with the places they should stand in, when it is known of each line whether it holds what belongs to some
/// place: says which places were changed, are missing, stand elsewhere, and which lines were added.
struct LineUp {
  /// A line, as far as it is known.
  struct Line {
    /// The place whose content it certainly holds, from 0.
    var place: Int?
    /// The place that it claims, which need not be true.
    var hint: Int?
  }

  enum What { case changed, missing, added, moved }

  /// A difference. `place` and `line` count from 0.
  struct Finding {
    var what: What
    var place: Int?
    var line: Int?
  }

  private let lines: [Line]
  private var isAccounted: [Bool]
  private var found: [Finding] = []

  /// The differences between these lines and so many places, in order.
  static func findings(_ lines: [Line], count: Int) -> [Finding] {
    var lineUp = LineUp(lines: lines, count: count)
    let anchors = lineUp.anchors()
    lineUp.strays(anchors)
    var before = Anchor(line: -1, place: -1)
    for anchor in anchors + [Anchor(line: lines.count, place: count)] {
      lineUp.gap(before, anchor)
      before = anchor
    }
    return lineUp.found.sorted { ($0.place ?? $0.line ?? 0, $0.line ?? 0) < ($1.place ?? $1.line ?? 0, $1.line ?? 0) }
  }

  private struct Anchor {
    var line: Int
    var place: Int
  }

  private init(lines: [Line], count: Int) {
    self.lines = lines
    isAccounted = [Bool](repeating: false, count: count)
  }

  /// The lines that stand right. Where two were exchanged these are all the others, although more may be in order among themselves.
  private func anchors() -> [Anchor] {
    let fixed = lines.enumerated().filter { $0.offset == $0.element.place }.map { Anchor(line: $0.offset, place: $0.offset) }
    let ascending = ascending()
    return lines.count == isAccounted.count && fixed.count + 1 >= ascending.count ? fixed : ascending
  }

  /// The largest set of lines that hold places in ascending order: these stand where they belong, whatever was removed, added or carried
  /// elsewhere around them.
  private func ascending() -> [Anchor] {
    // ends[k]: index of the line that ends an ascending run of k + 1 lines with the least place; before[i]: the line before i in its run.
    var ends: [Int] = []
    var before = [Int](repeating: -1, count: lines.count)
    for (at, line) in lines.enumerated() {
      guard let place = line.place else { continue }
      var (low, high) = (0, ends.count)
      while low < high {
        let middle = (low + high) / 2
        if lines[ends[middle]].place ?? 0 < place { low = middle + 1 } else { high = middle }
      }
      before[at] = low > 0 ? ends[low - 1] : -1
      if low < ends.count { ends[low] = at } else { ends.append(at) }
    }
    var run: [Anchor] = []
    var at = ends.last ?? -1
    while at >= 0 {
      if let place = lines[at].place { run.append(Anchor(line: at, place: place)) }
      at = before[at]
    }
    return run.reversed()
  }

  /// Lines that hold a place and do not stand in order: moved, or there a second time.
  private mutating func strays(_ anchors: [Anchor]) {
    var isAnchor = [Bool](repeating: false, count: lines.count)
    for anchor in anchors {
      isAnchor[anchor.line] = true
      isAccounted[anchor.place] = true
    }
    for (at, line) in lines.enumerated() where !isAnchor[at] {
      guard let place = line.place else { continue }
      found.append(Finding(what: isAccounted[place] ? .added : .moved, place: place, line: at))
      isAccounted[place] = true
    }
  }

  /// Between two lines that stand right: lines that hold nothing known are the changed places, as far as both reach.
  private mutating func gap(_ before: Anchor, _ after: Anchor) {
    var odd: [Int] = []
    for at in before.line + 1..<after.line where lines[at].place == nil {
      if let hint = lines[at].hint, hint > before.place, hint < after.place, !isAccounted[hint] {
        found.append(Finding(what: .changed, place: hint, line: at))
        isAccounted[hint] = true
      } else {
        odd.append(at)
      }
    }
    var rest = odd[...]
    for place in before.place + 1..<after.place where !isAccounted[place] {
      let line = rest.popFirst()
      found.append(Finding(what: line == nil ? .missing : .changed, place: place, line: line))
    }
    for line in rest { found.append(Finding(what: .added, place: nil, line: line)) }
  }
}
