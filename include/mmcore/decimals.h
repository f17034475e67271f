/* mmcore/decimals.h - decimal text to integers, exactly, and rows of delimited text to fields.
 *
 * A price is written as decimal text and is a whole number of ticks. Going through a double loses
 * that: int(0.29 * 100) is 28. Here the digits are accumulated as integers and nothing is rounded
 * unless asked: with tick = step * 10^-scale, the text is cut into the digits down to 10^-scale,
 * six more for millionths of a tick, and one bit that says whether anything but zeros follows.
 */
#ifndef MMCORE_DECIMALS_H
#define MMCORE_DECIMALS_H

#include <string.h>

#include <mmcore/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MM_SUBTICKS 1000000 /* parts of a tick */
#define MM_STEP_MAX INT64_C(1000000000000)
#define MM_SCALE_MAX 64

/* What becomes of text that is not a multiple of the tick. */
typedef enum mm_rounding {
  MM_EXACT = 0,  /* refuse it: MM_UNSUPPORTED */
  MM_FLOOR = 1,  /* towards minus infinity, keeping the remainder in millionths of a tick */
  MM_CEIL = 2,   /* towards plus infinity */
  MM_NEAREST = 3 /* nearest, half to even: for text that went through a binary float */
} mm_rounding;

/* A tick of step * 10^-scale; 1 <= step <= MM_STEP_MAX, 0 <= scale <= MM_SCALE_MAX. */
typedef struct mm_grid {
  int64_t step;
  int32_t scale;
  int32_t rounding;
} mm_grid;

static inline int mm_is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static inline int mm_is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Reads [text, end): blanks around it, a sign, digits with at most one point, an exponent; nothing
 * else. *ticks gets the value in ticks; *subtick (may be NULL) the rest in millionths of a tick,
 * rounded down, under MM_FLOOR and 0 otherwise.
 * MM_INVALID: not a number. MM_OVERFLOW: beyond 2^62 * 10^-scale. MM_UNSUPPORTED: off the grid
 * under MM_EXACT. Nothing is written then. */
static inline int mm_decimal(const char *text, const char *end, const mm_grid *grid, int64_t *ticks,
                             int32_t *subtick) {
  while (text < end && mm_is_blank(*text))
    ++text;
  while (end > text && mm_is_blank(end[-1]))
    --end;
  int negative = 0;
  if (text < end && (*text == '-' || *text == '+'))
    negative = *text++ == '-';

  const char *digits = text;
  int64_t whole = 0; /* digits before the point */
  int64_t count = 0;
  uint64_t value = 0; /* of all digits, while they are at most 18 */
  int seen_point = 0;
  for (; text < end; ++text) {
    if (mm_is_digit(*text)) {
      ++count;
      whole += !seen_point;
      value = value * 10 + (unsigned)(*text - '0');
    } else if (*text == '.' && !seen_point) {
      seen_point = 1;
    } else {
      break;
    }
  }
  /* The usual number: few digits, none beyond 10^-scale, no exponent, on the grid. */
  const int64_t zeros = whole + grid->scale - count;
  if (text == end && count > 0 && zeros >= 0 && count + zeros <= 18) {
    for (int64_t i = 0; i < zeros; ++i)
      value *= 10;
    const uint64_t ticks_of = grid->step == 1 ? value : value / (uint64_t)grid->step;
    if (ticks_of * (uint64_t)grid->step == value) {
      *ticks = negative ? -(int64_t)ticks_of : (int64_t)ticks_of;
      if (subtick)
        *subtick = 0;
      return MM_OK;
    }
  }
  if (count == 0)
    return MM_INVALID;
  const char *digits_end = text;
  if (text < end) {
    if (*text != 'e' && *text != 'E')
      return MM_INVALID;
    ++text;
    int down = 0;
    if (text < end && (*text == '-' || *text == '+'))
      down = *text++ == '-';
    if (text == end)
      return MM_INVALID;
    int64_t exponent = 0;
    for (; text < end; ++text) {
      if (!mm_is_digit(*text))
        return MM_INVALID;
      if (exponent < 1000000000)
        exponent = exponent * 10 + (*text - '0');
    }
    whole += down ? -exponent : exponent;
  }

  /* `left` is the number of digits still to come down to 10^-scale; it turns negative in the tail. */
  const uint64_t limit = (uint64_t)1 << 62;
  int64_t left = whole + grid->scale;
  uint64_t scaled = 0;
  uint64_t tail = 0;
  int beyond = 0;
  for (const char *p = digits; p < digits_end; ++p) {
    if (*p == '.')
      continue;
    const unsigned digit = (unsigned)(*p - '0');
    if (left > 0) {
      if (scaled >= limit / 10)
        return MM_OVERFLOW;
      scaled = scaled * 10 + digit;
    } else if (left > -6) {
      tail = tail * 10 + digit;
    } else {
      beyond |= digit != 0;
    }
    --left;
  }
  for (; left > 0 && scaled != 0; --left) {
    if (scaled >= limit / 10)
      return MM_OVERFLOW;
    scaled *= 10;
  }
  for (; left > -6 && tail != 0; --left)
    tail *= 10;

  const uint64_t step = (uint64_t)grid->step;
  uint64_t whole_ticks = scaled / step;
  const uint64_t parts = (scaled % step) * MM_SUBTICKS + tail; /* of a tick: parts / (step * 10^6) */
  const int off = parts != 0 || beyond;
  uint64_t sub = 0;
  switch (grid->rounding) {
  case MM_FLOOR:
    sub = parts / step;
    if (negative && off) {
      /* -(w + s) = -(w + 1) + (1 - s), and 1 - s is rounded down too. */
      const int inexact = beyond || parts % step != 0;
      ++whole_ticks;
      sub = MM_SUBTICKS - sub - (uint64_t)inexact;
    }
    break;
  case MM_CEIL:
    whole_ticks += (uint64_t)(off && !negative);
    break;
  case MM_NEAREST: {
    const uint64_t twice = 2 * parts;
    const uint64_t one = step * MM_SUBTICKS;
    if (twice > one || (twice == one && (beyond || (whole_ticks & 1))))
      ++whole_ticks;
    break;
  }
  default:
    if (off)
      return MM_UNSUPPORTED;
  }
  *ticks = negative ? -(int64_t)whole_ticks : (int64_t)whole_ticks;
  if (subtick)
    *subtick = (int32_t)sub;
  return MM_OK;
}

/* Whether [text, end) says that there is no number: nothing at all, or NaN, NA, N/A, null, None. */
static inline int mm_is_missing(const char *text, const char *end) {
  static const char *const words[] = {"nan", "na", "n/a", "null", "none"};
  const int64_t size = end - text;
  if (size == 0)
    return 1;
  if (size > 4)
    return 0;
  for (int w = 0; w < 5; ++w) {
    const char *word = words[w];
    int64_t i = 0;
    while (i < size && word[i] != 0 && (text[i] | 32) == (word[i] | 32))
      ++i;
    if (i == size && word[i] == 0)
      return 1;
  }
  return 0;
}

/* Cuts rows of delimited text into fields: offsets of field f of row r are starts[r * columns + f]
 * and stops[...], blanks and one pair of double quotes around a field left out; within them a delimiter
 * is text, and a doubled quote is one, which stays doubled here. Rows without any text are skipped. `text`
 * must hold whole rows; the last one may lack its newline. Returns the rows cut, at most `capacity`;
 * *line_of[r] the 0-based line of each; *consumed the bytes used. A row whose number of fields is not
 * `columns`, or whose quote is not closed, ends the work: *status is MM_INVALID, *bad_line its line,
 * *bad_fields what it had (-1: the quote). */
typedef struct mm_fields_result {
  int64_t rows;
  int64_t lines;
  int64_t consumed;
  int64_t bad_fields;
  int32_t status;
  int32_t reserved;
} mm_fields_result;

static inline mm_fields_result mm_fields(const char *text, int64_t size, char delimiter, int64_t columns,
                                         int64_t capacity, int64_t *starts, int64_t *stops,
                                         int64_t *line_of) {
  mm_fields_result out = {0, 0, 0, 0, MM_OK, 0};
  int64_t at = 0;
  while (at < size && out.rows < capacity) {
    const char *newline = (const char *)memchr(text + at, '\n', (size_t)(size - at));
    const int64_t end = newline ? newline - text : size;
    const int64_t next = end < size ? end + 1 : end;
    int64_t from = at;
    while (from < end && mm_is_blank(text[from]) && text[from] != delimiter)
      ++from;
    if (from == end) { /* an empty line */
      at = next;
      ++out.lines;
      out.consumed = at;
      continue;
    }
    int64_t field = 0;
    int64_t p = at;
    for (;;) {
      int64_t q = p;
      while (q < end && mm_is_blank(text[q]) && text[q] != delimiter)
        ++q;
      int64_t start = q;
      int64_t stop;
      if (q < end && text[q] == '"') {
        start = ++q;
        while (q < end && (text[q] != '"' || (q + 1 < end && text[q + 1] == '"')))
          q += text[q] == '"' ? 2 : 1; /* a doubled quote stands for one */
        if (q >= end) {
          out.status = MM_INVALID;
          out.bad_fields = -1;
          return out;
        }
        stop = q++;
        while (q < end && text[q] != delimiter && mm_is_blank(text[q]))
          ++q;
        if (q < end && text[q] != delimiter) {
          out.status = MM_INVALID;
          out.bad_fields = -1;
          return out;
        }
      } else {
        while (q < end && text[q] != delimiter)
          ++q;
        stop = q;
        while (stop > start && mm_is_blank(text[stop - 1]))
          --stop;
      }
      if (field < columns) {
        starts[out.rows * columns + field] = start;
        stops[out.rows * columns + field] = stop;
      }
      ++field;
      if (q == end)
        break;
      p = q + 1;
    }
    if (field != columns) {
      out.status = MM_INVALID;
      out.bad_fields = field;
      return out;
    }
    line_of[out.rows] = out.lines;
    ++out.rows;
    ++out.lines;
    at = next;
    out.consumed = at;
  }
  return out;
}

#ifdef __cplusplus
}
#endif

#endif
