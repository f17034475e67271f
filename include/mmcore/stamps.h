/* mmcore/stamps.h - ISO 8601 text to ns since the epoch, exactly. */
#ifndef MMCORE_STAMPS_H
#define MMCORE_STAMPS_H

#include <mmcore/decimals.h>
#include <mmcore/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads so many digits; -1: there are fewer. */
static inline int64_t mm_read_digits(const char **text, const char *end, int count) {
  int64_t value = 0;
  if (end - *text < count)
    return -1;
  for (int i = 0; i < count; ++i) {
    const char c = *(*text)++;
    if (!mm_is_digit(c))
      return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar; 0 in *valid: there is no such day. */
static inline int64_t mm_days_from_date(int64_t year, int64_t month, int64_t day, int *valid) {
  const int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  const int64_t long_month = month == 2 ? 28 + leap : 30 + ((month + month / 8) % 2);
  *valid = month >= 1 && month <= 12 && day >= 1 && day <= long_month;
  /* Years begin in March here, so that the leap day is the last of one: month lengths from March on follow
   * (153 m + 2) / 5. */
  const int64_t y = month > 2 ? year : year - 1;
  const int64_t m = month > 2 ? month - 3 : month + 9;
  return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
}

/* Reads [text, end), "2018-01-02T14:30:00.125Z": a blank may stand for the T and before the zone; seconds,
 * their fraction of at most nine digits (after a point or a comma) and the zone may be left out, and so may
 * the colon and the minutes of an offset. Without a zone it is UTC. A leap second is the first of the next
 * minute. MM_INVALID: not of this form. MM_OVERFLOW: outside the years that int64 ns hold. */
static inline int mm_iso_stamp(const char *text, const char *end, int64_t *ns) {
  const char *at = text;
  int valid = 0;
  const int64_t year = mm_read_digits(&at, end, 4);
  if (year < 0 || at == end || *at++ != '-')
    return MM_INVALID;
  const int64_t month = mm_read_digits(&at, end, 2);
  if (month < 0 || at == end || *at++ != '-')
    return MM_INVALID;
  const int64_t day = mm_read_digits(&at, end, 2);
  if (day < 0 || at == end || (*at != 'T' && *at != ' '))
    return MM_INVALID;
  ++at;
  const int64_t days = mm_days_from_date(year, month, day, &valid);
  if (year < 1 || !valid)
    return MM_INVALID;
  const int64_t hour = mm_read_digits(&at, end, 2);
  if (hour < 0 || hour > 23 || at == end || *at++ != ':')
    return MM_INVALID;
  const int64_t minute = mm_read_digits(&at, end, 2);
  if (minute < 0 || minute > 59)
    return MM_INVALID;
  int64_t second = 0;
  int64_t fraction = 0;
  if (at < end && *at == ':') {
    ++at;
    second = mm_read_digits(&at, end, 2);
    if (second < 0 || second > 60)
      return MM_INVALID;
    if (at < end && (*at == '.' || *at == ',')) {
      ++at;
      int places = 0;
      for (; at < end && mm_is_digit(*at); ++at, ++places) {
        if (places == 9)
          return MM_INVALID;
        fraction = fraction * 10 + (*at - '0');
      }
      if (places == 0)
        return MM_INVALID;
      for (; places < 9; ++places)
        fraction *= 10;
    }
  }
  int64_t offset = 0;
  while (at < end && (*at == ' ' || *at == '\t'))
    ++at;
  if (at < end && *at == 'Z') {
    ++at;
  } else if (at < end && (*at == '+' || *at == '-')) {
    const int west = *at++ == '-';
    const int64_t hours = mm_read_digits(&at, end, 2);
    int64_t minutes = 0;
    if (at < end && *at == ':')
      ++at;
    if (at < end)
      minutes = mm_read_digits(&at, end, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || at[-1] == ':')
      return MM_INVALID;
    offset = (west ? -60 : 60) * (hours * 60 + minutes);
  }
  if (at != end)
    return MM_INVALID;
  const int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset;
  if (seconds < -INT64_C(9223372036) || seconds >= INT64_C(9223372036))
    return MM_OVERFLOW;
  *ns = seconds * 1000000000 + fraction;
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
