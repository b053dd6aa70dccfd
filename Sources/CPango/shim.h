// Pango on cairo, cairo's PDF surface, and static inline wrappers for what Swift cannot import or what wants a sink for octets.
#pragma once
#include <cairo-pdf.h>
#include <fontconfig/fontconfig.h>
#include <pango/pangocairo.h>
#include <stdlib.h>
#include <string.h>

/// Octets that cairo writes, in memory that grows up to `limit`; made by `_new`, freed by `_free`.
typedef struct ceralacca_page_sink {
  unsigned char *octets;
  size_t count, capacity, limit;
} ceralacca_page_sink;

static inline ceralacca_page_sink *ceralacca_page_sink_new(size_t limit) {
  ceralacca_page_sink *sink = (ceralacca_page_sink *)calloc(1, sizeof *sink);
  if (sink) sink->limit = limit;
  return sink;
}

static inline void ceralacca_page_sink_free(ceralacca_page_sink *sink) {
  if (!sink) return;
  free(sink->octets);
  free(sink);
}

static inline cairo_status_t ceralacca_page_write(void *context, const unsigned char *octets, unsigned int count) {
  ceralacca_page_sink *sink = (ceralacca_page_sink *)context;
  if (count > sink->limit - sink->count) return CAIRO_STATUS_WRITE_ERROR;
  if (sink->count + count > sink->capacity) {
    size_t wanted = sink->capacity ? sink->capacity * 2 : 1 << 16;
    while (wanted < sink->count + count) wanted *= 2;
    unsigned char *grown = (unsigned char *)realloc(sink->octets, wanted);
    if (!grown) return CAIRO_STATUS_NO_MEMORY;
    sink->octets = grown;
    sink->capacity = wanted;
  }
  memcpy(sink->octets + sink->count, octets, count);
  sink->count += count;
  return CAIRO_STATUS_SUCCESS;
}

/// A PDF surface (points) that writes into the sink, which must live longer. Never NULL: its status tells.
static inline cairo_surface_t *ceralacca_page_surface(ceralacca_page_sink *sink, double width, double height) {
  return cairo_pdf_surface_create_for_stream(ceralacca_page_write, sink, width, height);
}

/// How many fonts the machine has: without any, Pango would draw empty boxes and say nothing.
static inline int ceralacca_font_count(void) {
  int count = 0;
  for (int set = FcSetSystem; set <= FcSetApplication; set++) {
    // Owned by the configuration.
    FcFontSet *fonts = FcConfigGetFonts(NULL, (FcSetName)set);
    if (fonts) count += fonts->nfont;
  }
  return count;
}
